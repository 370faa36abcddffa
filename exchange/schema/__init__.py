"""Avro schemas: registry, compatibility, wire header, projection."""
