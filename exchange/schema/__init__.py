"""Avro schemas. Read `avro` (a schema), `types` (as nodes), `registry`, `compatibility`, `wire` (a value's header)."""
