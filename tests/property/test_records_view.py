"""The kernels of check, filter and projection equal the Avro library on random schemas and records."""

from __future__ import annotations

import json
from typing import NamedTuple

import numpy as np
from hypothesis import given, reject
from hypothesis import strategies as st

from exchange.contract.masks import masked_type
from exchange.contract.terms import Mask, Where
from exchange.records import wire_ids
from exchange.records.check import check
from exchange.records.locate import LocatedRows, locate
from exchange.records.program import compile_program
from exchange.records.reference import Reference, UnevaluableError, on_base
from exchange.records.values import Values
from exchange.records.view import Kernels, compile_view
from exchange.schema import wire
from exchange.schema.avro import Schema, encode, parse
from exchange.schema.project import project
from exchange.schema.resolve import SchemaError
from tests.rigs.examples import conditions, groups, masks_of, schemas

WRITER, VIEW = 7, 9
KEY = bytes(range(32))


def columns(values: list[bytes]) -> Values:
    """The values with other bytes before them."""
    plain = Values.of([b"\xa5" * 3, *values])
    return plain.at(np.arange(1, plain.rows))


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


@given(cases())
def test_views_equal_the_reference(case: Case) -> None:
    writer, projected, where, masks, bodies = case
    values = columns([wire.pack(WRITER, body) for body in bodies])
    rows, program = np.arange(values.rows), compile_program(writer)
    assert not check(program, wire_ids.bodies(values)).any()

    view = compile_view({WRITER: writer}, (VIEW, projected) if projected else None, where, masks, KEY)
    ids = np.full(values.rows, WRITER)
    located = {WRITER: LocatedRows(rows, locate(program, wire_ids.bodies(values)))}
    result = view.evaluate(values, ids, rows, located)
    some = view.evaluate(values, ids, rows[1::2], located)
    for other in (0, 1):
        assert (some[other][1::2] == result[other][1::2]).all()
        assert not some[other][::2].any()
    delivered = result.values.tolist()
    assert some.values.tolist() == [value if i % 2 else None for i, value in enumerate(delivered)]

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
        due = wire.pack(VIEW if projected else WRITER, expected) if isinstance(expected, bytes) else None
        assert delivered[i] == due


@given(cases(), st.data())
def test_check_refuses_what_is_cut_or_longer(case: Case, data: st.DataObject) -> None:
    program = compile_program(case.writer)
    longer = [body + b"\0" for body in case.bodies]
    assert check(program, columns(longer)).all()
    shorter = [body[: data.draw(st.integers(0, len(body) - 1))] for body in case.bodies if body]
    assert check(program, columns(shorter)).all()
