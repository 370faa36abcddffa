"""A stream gives the same in columns and message by message: rows, places, position; wherever it is cut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.adapt import AdaptersMap

from exchange.connect.cdc import change_columns
from exchange.connect.cdc.captured import LAST, Begun, Captured, Stretch, Visibility
from exchange.connect.cdc.following import Following
from exchange.connect.cdc.logged_rows import LoggedRows, MessageLayout, StreamState
from exchange.connect.cdc.pgoutput import Attribute, Begin, Commit, LoggedChange, Missing, Raw
from exchange.connect.cdc.setup import TableColumn
from exchange.connect.source import Bad, Row
from exchange.connect.text_rows import LoadedColumns, TextColumns
from exchange.records.values import Values
from tests.rigs.logged import Message, written

TABLE, OTHER, TEXT = 7, 8, 25
COLUMNS = ("id", "kind", "note")
BEGUN = Begun(1, False, "s", TABLE, 7, (1,), {name: TableColumn(TEXT, -1, n, 9) for n, name in enumerate(COLUMNS)})
_CONTEXT: Any = SimpleNamespace(adapters=AdaptersMap(psycopg.adapters), connection=None)
TEXTS = LoadedColumns.of(_CONTEXT, COLUMNS, [TEXT] * 3)

values = st.sampled_from((b"", b"1", b"2", b"\xff", b"text"))
stored = st.none() | values
raw: st.SearchStrategy[Raw] = st.none() | values | st.just(Missing.UNCHANGED)
# The stream has a column that is not read, and another order.
ATTRIBUTES = ("kind", "extra", "id", "note")


@st.composite
def changes(draw: st.DrawFn, whole: bool, wide: bool, table: int) -> LoggedChange:
    """An insertion, an update with or without the old identity, or a deletion."""
    key = draw(values)
    kind = draw(st.sampled_from("IUUD"))
    others = st.tuples(stored, stored, stored)
    now = draw(st.tuples(raw, raw, raw)) if kind == "U" else draw(others)
    new = (now[0], now[1], key, now[2])
    if kind == "I" or (kind == "U" and not whole and draw(st.booleans())):
        return LoggedChange(table, None, new, False)
    before = draw(others) if whole else (draw(stored) if wide else None, None, None)
    old = (before[0], before[1], draw(values), before[2])
    return LoggedChange(table, old, None if kind == "D" else new, whole)


@st.composite
def streams(draw: st.DrawFn) -> list[Message]:
    """Whole transactions; those of other tables, and the table's columns told again, stand in between."""
    whole, wide = draw(st.booleans()), draw(st.booleans())
    columns = [Attribute(name, TEXT, -1, whole or name == "id" or (wide and name == "kind")) for name in ATTRIBUTES]
    messages: list[Message] = []
    for number in range(draw(st.integers(1, 5))):
        messages.append(Begin(100 * (number + 1), 1e9 + number, 50 + number))
        if number == 0 or draw(st.integers(0, 3)) == 0:
            messages.append(columns)
        for _ in range(draw(st.integers(0, 5))):
            messages.append(draw(changes(whole, wide, draw(st.sampled_from((TABLE, TABLE, TABLE, OTHER))))))
        messages.append(Commit(100 * (number + 1) + 50))
    return messages


def load(names: Sequence[str], texts: Sequence[bytes | None]) -> Row | Bad:
    return Bad("a value") if b"\xff" in texts else dict(zip(names, texts, strict=True))


def reread(key: Mapping[str, bytes | None], xid: int) -> Mapping[str, bytes | None] | None:
    if key["id"] == b"2":
        return None
    return {**key, "kind": b"1", "note": None if xid % 2 else b"long"}


Place = tuple[int, int | None]
Outcome = tuple[list[Any], list[str], Captured, int]


def followed(
    messages: Sequence[Message], begin: Captured, texts: TextColumns | None, most: int, cuts: Sequence[int]
) -> tuple[list[Outcome], set[bool]]:
    """What was taken after each part of the stream, and whether it was taken in columns."""
    following = Following(begin, BEGUN, ("id",), load, reread, texts)
    made: list[Outcome] = []
    are_columns = set()
    for first, last in zip((0, *cuts), (*cuts, len(messages)), strict=True):
        strings = Values.of([*(written(message, TABLE) for message in messages[first:last]), b"\0"])
        rows: list[Any] = []
        places: list[str] = []
        at = 0
        while at < strings.rows:
            at, taken = following.take_many(strings, at, most)
            are_columns |= {isinstance(taken.rows, LoggedRows)} if taken.rows else set()
            rows += taken.rows
            places += taken.places
        made.append((rows, places, following.position, following.ended))
    return made, are_columns


@given(st.data())
def test_a_stream_gives_the_same_rows_in_columns_and_message_by_message(data: st.DataObject) -> None:
    stream = data.draw(streams())
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=3)))
    commit = data.draw(st.sampled_from((0, 100, 200, 300)))
    parts = data.draw(st.sampled_from(((), (Stretch(LAST, Visibility.of("40:40:")),))))
    overlap = data.draw(st.sampled_from((1, 250)))
    begin = Captured(BEGUN, parts, overlap, commit, data.draw(st.none() | st.integers(1, 3)))
    slow, _ = followed(stream, begin, None, 100, cuts)
    fast, are_columns = followed(stream, begin, TEXTS, data.draw(st.integers(1, 4)), cuts)
    assert fast == slow
    assert False not in are_columns


def test_what_was_read_with_the_table_is_left_out_message_by_message() -> None:
    parts = (Stretch(b"", Visibility.of("40:40:")), Stretch(LAST, Visibility.of("60:60:")))
    columns = [Attribute(name, TEXT, -1, name == "id") for name in ATTRIBUTES]
    row = LoggedChange(TABLE, None, (None, None, b"1", None), False)
    stream = [Begin(100, 1e9, 50), columns, row, Commit(110), Begin(900, 1e9, 70), row, Commit(910)]
    [made], are_columns = followed(stream, Captured(BEGUN, parts, 900), TEXTS, 100, [])
    assert len(made[0]) == 1
    assert are_columns == {True}
    assert made[2].parts == ()


def test_a_message_that_is_cut_short_is_refused() -> None:
    old, new = (None, None, b"1", None), (None, b"", b"12345678", b"x")
    whole = written(LoggedChange(TABLE, old, new, True), TABLE)
    without_new = len(written(LoggedChange(TABLE, old, None, True), TABLE))
    begun = [written(message, TABLE) for message in (Begin(100, 1e9, 50), [Attribute("id", TEXT, -1, True)] * 4)]
    for cut in set(range(1, len(whole))) - {5, without_new}:
        messages = Values.of([*begun, whole[:cut], b"\0"])
        places = np.arange(3)
        layout = MessageLayout(TABLE, places, places[:1], np.ones(4, np.bool_))
        with pytest.raises(ValueError, match="pgoutput"):
            change_columns.take(messages, 2, layout, StreamState(0, 0, 0, 0, 0, 0, 0), 10)
