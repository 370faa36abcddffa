"""What the editor of the contract file refuses, rather than write something else than was meant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from exchange.contract import edit as module
from exchange.contract.edit import EditError, rewritten
from tests.rigs.contracts import CONTRACT
from tests.rigs.routing import grant

FILE = CONTRACT.encode()


@pytest.mark.parametrize(
    "file",
    [
        b"",
        b"version: [",
        b"\xff\xfe",
        b"- a list\n",
        b"version: 1\ngrants: [{id: g1}]\n",
        b"version: 1\ngrants: [g1]\n",
        b"version: 1\ngrants:\n  - g1\n",
        b"version: 1\ngrants: all\n",
        b"version: 1\ngrants: {id: g1}\n",
        FILE + b"---\nversion: 1\n",
        FILE + b"\x00",
    ],
)
def test_files_that_are_not_safe_to_edit(file: bytes) -> None:
    with pytest.raises(EditError):
        rewritten(file, put=[grant("new")])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text + "more: 1\n",
        lambda text: text + "- id: stolen\n",
        lambda text: text.replace("Test law", "Other law"),
        lambda text: "",
        lambda text: text.replace("until", "untill"),
        lambda text: text.replace("id: new", "id: g1"),
    ],
)
def test_what_does_not_read_back_as_meant_is_not_written(
    spoil: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    dump = module._dump
    monkeypatch.setattr(module, "_dump", lambda *values, **more: spoil(dump(*values, **more)))
    with pytest.raises((EditError, ValueError)):
        rewritten(FILE, put=[grant("new")])


def test_nothing_to_do_changes_nothing() -> None:
    assert rewritten(FILE) == FILE
    assert rewritten(FILE, drop=["unknown"]) == FILE


def test_a_bulk_is_written_in_its_order() -> None:
    many: list[Any] = [grant(f"g{i}") for i in range(2, 5)]
    after = rewritten(FILE, put=many).decode()
    assert [after.index(f"- id: g{i}") for i in range(1, 5)] == sorted(after.index(f"- id: g{i}") for i in range(1, 5))
    assert rewritten(after.encode(), drop=["g2", "g3", "g4"]) == FILE
