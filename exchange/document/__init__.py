"""YAML that people wrote: its values with their lines, and what is wrong with them in words that name the place."""
