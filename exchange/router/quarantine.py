"""What is no record of its subject: every reason, how it is found, and what goes to quarantine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from exchange import names
from exchange.names import Partition
from exchange.records import build, wire_ids
from exchange.records.build import Batch
from exchange.records.check import REASONS as CHECK_REASONS
from exchange.records.check import check
from exchange.records.locate import LocatedRows, locate
from exchange.records.row_names import RowNames, named
from exchange.records.scan import Run
from exchange.router.ready import ReadySubject

_OURS = ("wire-header", "schema-id", "batch-codec", "record-size", "row-name")
REASONS = (*CHECK_REASONS, *_OURS)
"""Why a record is quarantined; status 0 is a valid record."""
_WIRE_HEADER, _SCHEMA_ID, _BATCH_CODEC, _RECORD_SIZE, _ROW_NAME = range(len(CHECK_REASONS), len(REASONS))
MAX_RECORD_BYTES = 1_000_000  # uncompressed; what fits into a batch of Kafka's default message.max.bytes


class Examined(NamedTuple):
    """n records: the `status` (uint8[n], an index of REASONS) and schema id (int64[n]) of each.

    `located` are the places of their fields by schema id, if somebody looks inside of records. `names` are those of
    their rows, if the subject has a key.
    """

    status: np.ndarray
    ids: np.ndarray
    located: Mapping[int, LocatedRows]
    names: RowNames

    @property
    def good(self) -> np.ndarray:
        """int64[m]: the indexes of the valid records."""
        return np.flatnonzero(self.status == 0)


def examine(run: Run, subject: ReadySubject) -> Examined:
    """Find out what each record is, and which is none of its subject."""
    ids = wire_ids.schema_ids(run.values)
    status = np.zeros(run.rows, np.uint8)
    status[ids == wire_ids.NO_HEADER] = _WIRE_HEADER
    located: dict[int, LocatedRows] = {}
    for schema_id, rows in wire_ids.by_id(ids, np.flatnonzero(ids >= 0)):
        program = subject.checks.get(schema_id)
        if program is None:
            status[rows] = _SCHEMA_ID
            continue
        bodies = wire_ids.bodies(run.values.at(rows))
        if subject.looks_inside:
            located[schema_id] = LocatedRows(rows, locate(program, bodies))
            status[rows] = located[schema_id].located.status
        else:
            status[rows] = check(program, bodies)
    status[run.tails.length > MAX_RECORD_BYTES] = _RECORD_SIZE
    status[run.tails.length < 0] = _BATCH_CODEC
    row_names = RowNames.nulls(run.rows)
    if subject.namers:
        row_names, misnamed = named(run, ids, np.flatnonzero(status == 0), located, subject.namers, names.ROW_HEADER)
        status[misnamed] = _ROW_NAME
    return Examined(status, ids, located, row_names)


def set_aside(run: Run, status: np.ndarray, bad: np.ndarray, source: Partition) -> list[Batch]:
    """The bad records with headers that say where each came from and what is wrong.

    One by one, for these are few; a record that is too large comes without key and value.
    """
    fits = run.tails.length <= MAX_RECORD_BYTES
    keys, values = (column._replace(length=np.where(fits, column.length, -1)) for column in (run.keys, run.values))
    topic, partition = source
    batches = []
    for row in bad.tolist():
        place = f"{topic}/{partition}/{run.offset[row]}"
        headers = build.encode_headers({"reason": REASONS[status[row]].encode(), "source": place.encode()})
        batches += build.join(keys, values, run.timestamp, np.array([row]), headers=headers)
    return batches
