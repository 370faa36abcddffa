"""The peers that are Python programs, each run as a process of its own with a task file."""
