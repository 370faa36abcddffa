"""Runs at the size of the reference city; `python -m tests.scale --help`, docs/scale.md."""
