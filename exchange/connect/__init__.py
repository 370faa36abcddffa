"""Connectors: department databases and files to and from the bus.

Read `config` (connector.yaml as types), `source` and `publish` (rows become records), `sink` and `sink_table` (records
become rows), `worker` and `runner` (all of them at work). `check` tries what `runner` would do.
"""
