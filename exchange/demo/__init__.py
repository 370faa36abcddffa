"""The whole exchange on one machine with a fictional city, and the check of what came of it; not in the wheel."""
