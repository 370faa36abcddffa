"""How many examples: a seeded few by default, more in `make siege`, many in each round of `make long`."""

from __future__ import annotations

import pytest
from hypothesis import settings

settings.register_profile("seeded", max_examples=80, deadline=None, derandomize=True)
settings.register_profile("siege", max_examples=400, deadline=None, derandomize=True)
settings.register_profile("long", max_examples=10_000, deadline=None)


def pytest_configure(config: pytest.Config) -> None:
    if not config.getoption("--hypothesis-profile", None):
        settings.load_profile("seeded")
