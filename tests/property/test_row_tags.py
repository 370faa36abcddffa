"""Tags of rows: those that the router makes of columns are those that an auditor makes of each record."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from exchange.audit.row_tags import RowTags
from exchange.records.tags import Tagger
from exchange.records.values import Values
from exchange.schema import avro, wire

LEDGER_KEY = bytes(range(32))
_BYTES = avro.parse('{"type": "record", "name": "Any", "fields": [{"name": "any", "type": "bytes"}]}')


def _name(*fields: bytes) -> bytes:
    return b"".join(avro.encode(_BYTES, {"any": field}) for field in fields)


_KEYS = st.none() | st.binary(max_size=12) | st.text(max_size=80).map(str.encode)


@st.composite
def _rows(draw: st.DrawFn) -> tuple[bytes | None, bytes | None]:
    """The key of a record, and the name of its row: of no row, of the key alone, of less or more than that."""
    key = draw(_KEYS)
    said, cut = key or b"", draw(st.integers(0, 12))
    fields = draw(st.sampled_from([(said,), (said[:cut],), (said, b"2024"), (said + b"\0",)]) | st.tuples(st.binary()))
    return key, draw(st.none() | st.just(_name(*fields)))


@given(st.lists(_rows(), max_size=40))
@example([(b"", _name(b"")), (None, _name(b"")), (b"a", b""), (b"\xff", _name("\ufffd".encode()))])
def test_the_router_and_an_auditor_make_the_same_tags_of_rows(rows: list[tuple[bytes | None, bytes | None]]) -> None:
    keys, names = (Values.of(column) for column in zip(*rows, strict=True)) if rows else (Values.of([]),) * 2
    tagger, subject = Tagger(LEDGER_KEY), SimpleNamespace(id="tax.income")
    made = tagger.rows(subject.id, names, keys, tagger.entities(keys))
    again: Any = RowTags({}, LEDGER_KEY)
    assert [tag.tobytes() for tag in made] == [
        again.of_name(subject, key, None if name is None else wire.pack(7, name)) for key, name in rows
    ]


def test_rows_of_an_entity_have_tags_of_their_own_and_its_row_without_more_has_the_entitys() -> None:
    keys, tagger = Values.of([b"440103"] * 4), Tagger(LEDGER_KEY)
    names = Values.of([_name(b"440103"), _name(b"440103", b"2024"), _name(b"440104"), None])
    entities = tagger.entities(keys)
    tags = tagger.rows("tax.income", names, keys, entities)
    assert tags[0].tobytes() == entities[0].tobytes()
    assert len({tag.tobytes() for tag in tags}) == len(tags)
    assert set(tags[:, 0].tolist()) == {int(tags[0, 0])}
    assert tags[3, 1] == 0
