"""The kernels of check, filter and projection equal the Avro library on random schemas and records."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from exchange.records.avro_plan import compile_plan
from exchange.records.check import check
from exchange.records.reference import Reference, UnevaluableError, on_base
from exchange.records.view import Kernels, compile_view
from exchange.schema import wire
from exchange.schema.avro import Schema, encode
from exchange.schema.project import project
from tests.property.avro_examples import conditions, schemas

WRITER, VIEW = 7, 9


def columns(values: list[bytes]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    length = np.array([len(value) for value in values], np.int64)
    buf = np.frombuffer(b"\xa5" * 3 + b"".join(values), np.uint8)
    return buf, np.cumsum(length) - length + 3, length


@st.composite
def asked(draw: st.DrawFn) -> tuple[Schema, Schema | None, dict[str, Any], list[bytes]]:
    writer, records = draw(schemas())
    names = draw(st.lists(st.sampled_from(list(writer.fields)), unique=True))
    filtered = draw(st.lists(st.sampled_from(list(writer.fields)), unique=True, max_size=2))
    where = {name: draw(conditions(writer.fields[name])) for name in filtered}
    base = on_base(writer)
    bodies = [encode(base, record) for record in draw(st.lists(records, min_size=1, max_size=5))]
    return writer, project(writer, names) if names else None, where, bodies


@given(asked())
def test_views_equal_the_reference(case: tuple[Schema, Schema | None, dict[str, Any], list[bytes]]) -> None:
    writer, projected, where, bodies = case
    values = [wire.pack(WRITER, body) for body in bodies]
    buf, start, length = columns(values)
    rows = np.arange(len(values))
    assert not check(compile_plan(writer), buf, start + 5, length - 5).any()

    view = compile_view({WRITER: writer}, (VIEW, projected) if projected else None, where)
    result = view.evaluate(buf, start, length, np.full(len(values), WRITER), rows)

    try:
        reference = Reference(writer, projected, where)
    except UnevaluableError:
        assert view.ways[WRITER] is None
        assert result.unevaluable.all()
        assert not result.keep.any()
        assert (result.length == -1).all()
        return
    assert isinstance(view.ways[WRITER], Kernels)
    for i, body in enumerate(bodies):
        expected = reference.evaluate(body)
        assert expected is not None
        assert not result.unevaluable[i]
        assert result.keep[i] == (expected is not False)
        if isinstance(expected, bytes):
            delivered = result.buf[result.start[i] : result.start[i] + result.length[i]].tobytes()
            assert delivered == wire.pack(VIEW if projected else WRITER, expected)
        else:
            assert result.length[i] == -1


@given(asked(), st.data())
def test_check_refuses_what_is_cut_or_longer(
    case: tuple[Schema, Schema | None, dict[str, Any], list[bytes]], data: st.DataObject
) -> None:
    writer, _, _, bodies = case
    plan = compile_plan(writer)
    longer = [body + b"\0" for body in bodies]
    buf, start, length = columns(longer)
    assert check(plan, buf, start, length).all()
    shorter = [body[: data.draw(st.integers(0, len(body) - 1))] for body in bodies if body]
    buf, start, length = columns(shorter)
    assert check(plan, buf, start, length).all()
