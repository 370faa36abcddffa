"""Connectors: department databases and files to and from the bus."""
