"""Avro schemas. Read `avro` (a schema), `types` (its types as nodes), `registry`, `compatibility`, `wire` (headers)."""
