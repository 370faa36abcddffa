"""The router: enforces grants and logs every exchanged record."""
