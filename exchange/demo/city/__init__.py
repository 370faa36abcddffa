"""The fictional city: a deterministic generator of what departments hold, and of what readers must get."""
