"""Avro schemas. Read `avro` (a schema and its fields), `registry`, `compatibility`, `wire` (the header of a value)."""
