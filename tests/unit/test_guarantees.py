"""Every promise of docs/guarantees.md, and every defence of docs/security.md, names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "guarantees.md").read_text()
SECURITY = (ROOT / "docs" / "security.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", TEXT + SECURITY)))


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_the_named_test_exists(file: str, test: str) -> None:
    text = (ROOT / file).read_text()
    assert f"\ndef {test or 'test_'}" in text


def test_every_promise_names_a_test() -> None:
    promises = [line for line in TEXT.splitlines() if line.startswith("| **")]
    assert len(promises) >= 12
    assert all("`tests/" in line.rpartition("|")[0].rpartition("|")[2] for line in promises)
