"""Pure decisions: which grants are in force, and which views they share. Read `views`."""
