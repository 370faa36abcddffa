"""No file makes the reader of the contract fail in another way than by its problems."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from exchange.contract.check import Check
from exchange.document.yaml import read
from exchange.schema.avro import Schema
from exchange.schema.resolve import SchemaError

CONTRACT = (Path(__file__).parents[2] / "topics.yaml").read_text(encoding="utf-8").splitlines()
WORDS = st.sampled_from(
    [
        "version: 1",
        "departments:",
        "subjects:",
        "grants:",
        "- id: a",
        "  - id: tax",
        "    fields: all",
        "    from: 5",
        "    where: {a: {eq: 1}}",
        "- [",
        "&a",
        "*a",
        "!!int 5",
        "? x",
        "    title: {zh: a}",
        "\t",
        "    until: [1]",
        "    owner: {}",
        "    entity: 5",
        "    sensitive: x",
        "    subject: a.b",
        "    reader: tax",
        "    topic: []",
    ]
)


def _no_schema(_: str) -> Schema:
    raise SchemaError("there are no schemas here")


def _check(data: bytes) -> Check:
    check = Check(read(data), _no_schema, date(2026, 6, 1))
    assert check.contract is not None or check.problems
    return check


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes(data: bytes) -> None:
    _check(data)


@given(st.lists(WORDS, max_size=12))
def test_pieces_of_a_contract_in_any_order(lines: list[str]) -> None:
    _check("\n".join(lines).encode())


@given(st.data())
def test_the_citys_contract_with_lines_taken_out_or_bent(data: st.DataObject) -> None:
    lines = CONTRACT[:60] + CONTRACT[-60:]
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(lines) - 1))
        lines[at : at + 1] = data.draw(
            st.sampled_from([[], ["  5"], [lines[at][1:]], [lines[at] + " x"], [lines[at]] * 2])
        )
    _check("\n".join(lines).encode())
