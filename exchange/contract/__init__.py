"""The contract: topics.yaml as frozen models, the checks on it, and the epoch that publishes it.

Read `model` first (the file, as types), then `load` and `check` (they report every mistake at once), then `epoch`.
`extent`, `conditions`, `masks`, `quota` and `rounding` define what a grant means. `edit` changes the file and leaves
every other byte as it was.
"""
