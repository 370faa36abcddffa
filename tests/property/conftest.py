"""Seeded examples, the same in every run; no deadline, because a kernel's first call compiles it."""

from hypothesis import settings

settings.register_profile("seeded", deadline=None, derandomize=True)
settings.load_profile("seeded")
