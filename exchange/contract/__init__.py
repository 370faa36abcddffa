"""The contract: topics.yaml as frozen models, the checks on it, and the epoch that publishes it.

Read `model` (the file, as types), `terms` (conditions and masks), `load` and `check` (every mistake of it, at once),
`epoch`. `extent`, `conditions`, `masks`, `quota` and `rounding` say what grants mean; `edit` changes a file and leaves
every other byte of it as it was.
"""
