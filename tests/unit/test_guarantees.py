"""Every promise of docs/guarantees.md, and every defence of docs/security.md, names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GUARANTEES, SECURITY = ((ROOT / "docs" / f"{name}.md").read_text() for name in ("guarantees", "security"))
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", GUARANTEES + SECURITY)))
ACTORS = (
    "publisher",
    "reader",
    "requester",
    "administrator",
    "super user",
    "router's operator",
    "holder of a stolen credential",
    "network attacker",
    "disk",
)


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_the_named_test_exists(file: str, test: str) -> None:
    text = (ROOT / file).read_text()
    assert f"\ndef {test or 'test_'}" in text


def test_every_promise_names_a_test() -> None:
    promises = [line for line in GUARANTEES.splitlines() if line.startswith("| **")]
    assert len(promises) >= 12
    assert all("`tests/" in line.rpartition("|")[0].rpartition("|")[2] for line in promises)


def test_every_defence_names_a_test() -> None:
    threats = SECURITY.partition("## Threats")[2].partition("## What is not defended")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in threats.splitlines() if line.startswith("|")]
    rows = [row for row in rows if row[0] not in ("actor", "input", "---")]
    assert len(rows) >= 25
    assert all("`tests/" in row[-1] or row[-1] == "the same" for row in rows)
    told = " ".join(row[0] for row in rows)
    assert [actor for actor in ACTORS if f"**{actor}**" not in told] == []
