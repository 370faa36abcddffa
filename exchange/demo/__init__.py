"""The whole exchange on one machine with a fictional city, and the check of its result; not part of the wheel."""
