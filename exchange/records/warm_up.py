"""Compiles every kernel that a router may need, or loads it from the cache, so that no record waits for it."""

from __future__ import annotations

import json
from decimal import Decimal

import numpy as np

from exchange.contract.terms import Condition, Mask
from exchange.records import build, compiler, hashes, wire_ids
from exchange.records.check import check
from exchange.records.header import RawBatch, parse
from exchange.records.locate import LocatedRows, locate
from exchange.records.program import compile_program
from exchange.records.row_names import compile_namers, named
from exchange.records.row_table import Moves, RowTable, intern
from exchange.records.scan import Run, scan
from exchange.records.tags import Tagger
from exchange.records.view import compile_view
from exchange.schema import avro, wire

_DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 0}
_TYPES = {"text": "string", "whole": "long", "real": "double", "amount": _DECIMAL}
_FIELDS = [{"name": name, "type": kind} for name, kind in _TYPES.items()]
_SCHEMA = avro.parse(json.dumps({"type": "record", "name": "Any", "fields": _FIELDS}))
_ID = 1


def _warm_up_rows(run: Run, ids: np.ndarray, rows: np.ndarray, located: LocatedRows) -> None:
    """The same for a subject whose rows have a key."""
    namers = compile_namers({_ID: _SCHEMA}, ["text"])
    names, _ = named(run, ids, rows, {_ID: located}, namers, "h")
    build.sections({}, "h", names.at(rows))
    tagger, table = Tagger(bytes(32)), RowTable()
    tags = tagger.rows("", names.bodies, run.keys, tagger.entities(run.keys))
    patterns, _ = intern([np.ones(run.rows, np.uint8)], run.rows)
    table.put(tags, patterns)
    known = Moves(run.rows)
    known.learn(0, 0, 1)
    table.advance(tags, patterns, known, np.zeros(run.rows, np.int32), np.zeros(run.rows, np.int32), 0)
    table.get(tags)
    table.of_entities(tags[:1, 0].copy())


def warm_up() -> None:
    """Do with two records all that a router does; kernels are compiled per type of array, not per schema."""
    body = avro.encode(_SCHEMA, {"text": "a", "whole": 1, "real": 1.0, "amount": Decimal(1)})
    [batch] = build.pack([b"k"] * 2, [wire.pack(_ID, body)] * 2, [0, 0])
    run = scan([RawBatch("", 0, parse(batch.head), memoryview(batch.data), 0)])
    rows, ids = np.arange(run.rows), wire_ids.schema_ids(run.values)
    program, bodies = compile_program(_SCHEMA), wire_ids.bodies(run.values)
    check(program, bodies)
    where = {"text": Condition(prefix="a"), **{name: Condition(ge=1) for name in ("whole", "real", "amount")}}
    view = compile_view({_ID: _SCHEMA}, (_ID, _SCHEMA), where, {"text": Mask(kind="partial")})
    made = view.evaluate(run.values, ids, rows, {_ID: LocatedRows(rows, locate(program, bodies))})
    build.copy(run, rows)
    build.copy_with(run, rows, build.encode_headers({"h": b""}))
    build.join(run.keys, made.values, run.timestamp, rows)
    _warm_up_rows(run, ids, rows, LocatedRows(rows, locate(program, bodies)))
    hashes.tags(run.keys, hashes.tag_state(bytes(32)))
    hashes.merkle_root(hashes.leaves(run.keys, made.values))
    compiler.give_back()
