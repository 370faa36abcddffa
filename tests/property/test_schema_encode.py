"""Encoding is exact and views give what the whole record gives, on random schemas and records."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from exchange.records.reference import on_base
from exchange.schema.avro import DecodeError, decode, encode, parse
from exchange.schema.compatibility import unreadable
from exchange.schema.project import project
from tests.rigs.examples import schemas


@given(st.data())
def test_a_view_gives_the_kept_fields_as_they_are(data: st.DataObject) -> None:
    full, records = data.draw(schemas())
    schema = on_base(full)
    record = data.draw(records)
    kept = data.draw(st.lists(st.sampled_from(list(schema.fields)), min_size=1, unique=True))
    view = project(schema, kept)
    assert list(view.fields) == [name for name in schema.fields if name in kept]
    # Fields follow each other in an Avro body without anything between: so do their bytes in a view.
    parts = [encode(project(schema, [name]), {name: record[name]}) for name in view.fields]
    body = encode(view, {name: record[name] for name in kept})
    assert body == b"".join(parts)
    whole = decode(schema, encode(schema, record))
    assert _same(decode(view, body), {name: whole[name] for name in view.fields})


@given(st.data())
def test_a_schema_is_what_its_text_says(data: st.DataObject) -> None:
    schema, _ = data.draw(schemas())
    assert parse(schema.text) == schema
    assert parse(schema.text).definition == schema.definition
    assert unreadable(schema, schema) == []


@given(st.data())
def test_hostile_bytes_are_a_record_or_an_error(data: st.DataObject) -> None:
    full, records = data.draw(schemas())
    schema = on_base(full)
    body = bytearray(encode(schema, data.draw(records)))
    for _ in range(data.draw(st.integers(0, 3))):
        if body:
            body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(body)))
    with suppress(DecodeError):
        decode(schema, bytes(body[:cut]))


def _same(one: Any, other: Any) -> bool:
    """Equal, with NaN equal to itself."""
    return repr(one) == repr(other)
