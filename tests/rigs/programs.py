"""Programs that tests run and that do not come with the project."""

from __future__ import annotations

import os
import shutil

import pytest

# program → the Debian package that has it
_PACKAGES = {"node": "nodejs", "prometheus": "prometheus", "promtool": "prometheus"}


def program(name: str) -> str:
    """Where the program is; without it the test is skipped, and fails in CI, which installs it."""
    found = shutil.which(name)
    if found is None:
        missing = f"{name} is not there. Remedy: install it (Debian: apt-get install {_PACKAGES[name]})"
        pytest.fail(missing, pytrace=False) if os.environ.get("CI") else pytest.skip(missing)
    return found
