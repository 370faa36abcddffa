"""A view over values whose fields were located before, as the router's step does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from exchange.records import wire_ids
from exchange.records.locate import LocatedRows, locate
from exchange.records.program import compile_program
from exchange.records.values import Values
from exchange.records.view import Evaluated, View
from exchange.schema.avro import Schema


def evaluate(
    view: View, writers: Mapping[int, Schema], values: Sequence[bytes], rows: Sequence[int] | None = None
) -> Evaluated:
    """What the view makes of those of the rows (None: all) that are records of their writer's schema."""
    columns = Values.of(values)
    ids = wire_ids.schema_ids(columns)
    located, good = {}, np.zeros(len(values), bool)
    for schema_id, of_writer in wire_ids.by_id(ids, np.arange(len(values))):
        fields = locate(compile_program(writers[schema_id]), wire_ids.bodies(columns.at(of_writer)))
        located[schema_id] = LocatedRows(of_writer, fields)
        good[of_writer] = fields.status == 0
    named = np.arange(len(values)) if rows is None else np.array(rows, np.int64)
    return view.evaluate(columns, ids, named[good[named]], located)
