"""Connectors: between the departments' databases and files and the bus.

Read `config` (connector.yaml as types), `source` and `publish` (rows become records), `sink` and `sink_table` (records
become rows), `worker` and `runner` (all of them at work). `check` tries out what `runner` would do.
"""
