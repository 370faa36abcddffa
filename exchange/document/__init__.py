"""YAML files that people write: their values with line numbers, and their mistakes in words that name the place."""
