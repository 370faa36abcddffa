"""The command line: words and options. Read `main`; each command has a module of its own."""
