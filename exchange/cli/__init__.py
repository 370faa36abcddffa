"""The command line: words and options. Read `main`; each command is a module of its own."""
