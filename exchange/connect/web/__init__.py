"""Ways over HTTP: rows that are pulled from an API, and records that are pushed to a webhook.

Read `web_config` (what connector.yaml says), `web_client` (login, retries, limits), `pull_source` and `full_pull`,
`webhook`.
"""
