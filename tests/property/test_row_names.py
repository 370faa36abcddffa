"""Names of rows as columns are those that the Avro library makes of each record."""

from __future__ import annotations

import json
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from exchange.audit.row_tags import RowTags
from exchange.contract.key import name_schema
from exchange.records import build, wire_ids
from exchange.records.header import RawBatch, parse
from exchange.records.locate import LocatedRows, locate
from exchange.records.program import compile_program
from exchange.records.row_names import compile_namers, named
from exchange.records.scan import Run, scan
from exchange.records.values import Values
from exchange.schema import avro, wire

HEADER = "row"
TYPES = {"id": "string", "year": "int", "note": "string", "plate": "string"}
TEXT = st.text(max_size=30)
VALUES = {"id": TEXT, "year": st.integers(-(2**31), 2**31 - 1), "note": TEXT, "plate": TEXT}


def _schema(fields: Sequence[str]) -> avro.Schema:
    made = [{"name": name, "type": TYPES[name]} for name in fields]
    return avro.parse(json.dumps({"type": "record", "name": "Car", "fields": made}))


WRITERS = {7: _schema(["id", "year", "note", "plate"]), 2**24 + 9: _schema(["plate", "note", "id", "year"])}


def _run(records: Sequence[tuple[bytes | None, bytes | None]]) -> Run:
    """Records by their values and the values of their headers."""
    heads = [build.encode_headers({} if said is None else {"rox": b"x", HEADER: said}) for _, said in records]
    keys, values = Values.of([b"k"] * len(records)), Values.of([value for value, _ in records])
    every = np.arange(len(records))
    made = build.join(keys, values, np.zeros(len(records), np.int64), every, headers=Values.of(heads))
    return scan([RawBatch("", 0, parse(batch.head), memoryview(batch.data), 0) for batch in made])


@given(
    st.sampled_from([["id"], ["id", "year"], ["year", "id"], ["id", "plate"], ["plate", "id", "year"]]),
    st.lists(
        st.tuples(st.sampled_from(sorted(WRITERS)), st.fixed_dictionaries(VALUES), st.sampled_from("vvnmw")),
        min_size=1,
        max_size=30,
    ),
)
def test_names_are_those_of_the_avro_library(key: list[str], drawn: list[tuple[int, dict[str, Any], str]]) -> None:
    records: list[tuple[bytes | None, bytes | None]] = []
    for schema_id, fields, kind in drawn:  # a value; no value and a name, no name, or a name with a byte too much
        name = wire.pack(schema_id, avro.encode(name_schema(WRITERS[schema_id], key), {f: fields[f] for f in key}))
        said = {"n": name, "w": name + b"\0"}.get(kind)
        records.append((wire.pack(schema_id, avro.encode(WRITERS[schema_id], fields)) if kind == "v" else None, said))
    run, every = _run(records), np.arange(len(records))
    ids, located = wire_ids.schema_ids(run.values), {}
    for schema_id, rows in wire_ids.by_id(ids, np.flatnonzero(ids >= 0)):
        found = locate(compile_program(WRITERS[schema_id]), wire_ids.bodies(run.values.at(rows)))
        located[schema_id] = LocatedRows(rows, found)
    names, misnamed = named(run, ids, every, located, compile_namers(WRITERS, key), HEADER)
    auditor: Any = RowTags({id_: schema.text for id_, schema in WRITERS.items()}, bytes(32))
    subject, due = SimpleNamespace(key=tuple(key)), []
    for (value, said), (*_, kind) in zip(records, drawn, strict=True):
        record: Any = SimpleNamespace(value=value, headers=[] if said is None else [(HEADER, said)])
        due.append(auditor.name(subject, record) if kind == "v" else said if kind == "n" else None)
    assert misnamed.tolist() == [kind == "w" for *_, kind in drawn]
    assert names.at(every).tolist() == due
    assert names.bodies.tolist() == [None if name is None else name[wire.HEADER_BYTES :] for name in due]
