"""Compiles every kernel that a source may need, or loads it from the cache: a transaction could not wait for that."""

from __future__ import annotations

import json
from functools import cache
from zoneinfo import ZoneInfo

import numpy as np

from exchange.records import build, compiler, row_hashes
from exchange.records.partition import partitions
from exchange.records.text_program import compile_text
from exchange.records.text_table import parse
from exchange.records.text_to_avro import write
from exchange.records.values import Values
from exchange.schema import avro

_SCHEMA = avro.parse(json.dumps({"type": "record", "name": "Any", "fields": [{"name": "text", "type": "string"}]}))


@cache
def warm_up() -> None:
    """Do with one row all that a source does; kernels are compiled per type of array, not per schema."""
    table = parse(b"a\n", 1, 1)
    program = compile_text(_SCHEMA, {"text": (0, "text")}, {}, ZoneInfo("UTC"), {})
    assert program is not None
    values, keys = write(program, b"", table), table.column(0)
    row_hashes.row_hashes(keys, row_hashes.TEXT, keys, row_hashes.TEXT)
    rows = np.zeros(1, np.int64)
    for some in (keys, Values.joined([keys, keys]).at(rows)):
        partitions(some, 1)
        build.join(some, values, rows, rows)
    build.pack([b"k"], [b"v"], [0])
    build.sections({}, "h", keys)
    compiler.give_back()
