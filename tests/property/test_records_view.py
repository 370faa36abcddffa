"""The kernels of check, filter and projection equal the Avro library on random schemas and records."""

from __future__ import annotations

import json
from typing import NamedTuple

import numpy as np
from hypothesis import given, reject
from hypothesis import strategies as st

from exchange.contract.masks import masked_type
from exchange.contract.model import Mask, Where
from exchange.records.avro_plan import compile_plan
from exchange.records.check import check
from exchange.records.locate import LocatedRows, locate
from exchange.records.reference import Reference, UnevaluableError, on_base
from exchange.records.view import Evaluated, Kernels, compile_view
from exchange.schema import wire
from exchange.schema.avro import Schema, encode, parse
from exchange.schema.project import project
from exchange.schema.resolve import SchemaError
from tests.property.avro_examples import conditions, groups, masks_of, schemas

WRITER, VIEW = 7, 9
KEY = bytes(range(32))


def columns(values: list[bytes]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    length = np.array([len(value) for value in values], np.int64)
    buf = np.frombuffer(b"\xa5" * 3 + b"".join(values), np.uint8)
    return buf, np.cumsum(length) - length + 3, length


class Case(NamedTuple):
    writer: Schema
    view: Schema | None
    where: Where
    masks: dict[str, Mask]
    bodies: list[bytes]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    writer, records = draw(schemas())
    names = draw(st.lists(st.sampled_from(list(writer.fields)), unique=True))
    filtered = draw(st.lists(st.sampled_from(list(writer.fields)), unique=True, max_size=2))
    where: Where = {name: draw(conditions(writer.fields[name])) for name in filtered}
    for word in draw(st.lists(st.sampled_from(["all", "any", "not"]), unique=True, max_size=2)):
        where = {**where, word: draw(groups(writer, word, 2))}
    masks = {name: draw(masks_of(writer.fields[name])) for name in names if draw(st.integers(0, 3)) == 0}
    base = on_base(writer)
    bodies = [encode(base, record) for record in draw(st.lists(records, min_size=1, max_size=5))]
    return Case(writer, masked(project(writer, names), writer, masks) if names else None, where, masks, bodies)


def masked(view: Schema, writer: Schema, masks: dict[str, Mask]) -> Schema:
    """The view's schema with the types of its masked fields."""
    fields = [
        {**f, "type": masked_type(masks[f["name"]], view.fields[f["name"]])} if f["name"] in masks else f
        for f in view.definition["fields"]
    ]
    try:
        return parse(json.dumps({**view.definition, "fields": fields}))
    except SchemaError:
        reject()  # a type that was defined in a masked field only


def same(one: Evaluated, other: Evaluated) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@given(cases())
def test_views_equal_the_reference(case: Case) -> None:
    writer, projected, where, masks, bodies = case
    values = [wire.pack(WRITER, body) for body in bodies]
    buf, start, length = columns(values)
    rows = np.arange(len(values))
    assert not check(compile_plan(writer), buf, start + 5, length - 5).any()

    view = compile_view({WRITER: writer}, (VIEW, projected) if projected else None, where, masks, KEY)
    ids = np.full(len(values), WRITER)
    known = {WRITER: LocatedRows(rows, locate(compile_plan(writer), buf, start + 5, length - 5))}
    for some in (rows, rows[1::2]):  # located before, for all rows, it is the same
        assert same(view.evaluate(buf, start, length, ids, some, known), view.evaluate(buf, start, length, ids, some))
    result = view.evaluate(buf, start, length, ids, rows)

    try:
        reference = Reference(writer, projected, where, masks, KEY)
    except UnevaluableError:
        assert view.ways[WRITER] is None or masks
        assert result.unevaluable.all() or masks
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


@given(cases(), st.data())
def test_check_refuses_what_is_cut_or_longer(case: Case, data: st.DataObject) -> None:
    plan = compile_plan(case.writer)
    longer = [body + b"\0" for body in case.bodies]
    buf, start, length = columns(longer)
    assert check(plan, buf, start, length).all()
    shorter = [body[: data.draw(st.integers(0, len(body) - 1))] for body in case.bodies if body]
    buf, start, length = columns(shorter)
    assert check(plan, buf, start, length).all()
