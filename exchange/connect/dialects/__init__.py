"""What differs between the databases that departments have: one class of each, all with the same questions."""
