"""What a sink takes in at once of the batches that it has: records one by one, or as columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from exchange.bus.record import Record, few_records
from exchange.records.header import RawBatch

if TYPE_CHECKING:
    from exchange.records.scan import Run


class AtOnce(NamedTuple):
    """What is taken in at once: `records`, or `runs` by partition; `rest` is what is left of the last batch."""

    records: list[Record]
    runs: Mapping[int, Run]
    rows: int
    rest: RawBatch | None


def listed(batches: Sequence[RawBatch], most: int) -> AtOnce:
    """At most so many records of these batches, one by one."""
    found = [record for batch in batches for record in few_records(batch)]
    if len(found) <= most:
        return AtOnce(found, {}, len(found), None)
    return AtOnce(found[:most], {}, most, batches[-1]._replace(from_offset=found[most].offset))


def scanned(batches: Sequence[RawBatch], most: int) -> AtOnce:
    """The same as columns, by partition."""
    from exchange.records.scan import scan  # kernels, which only those who need them load

    of: dict[int, list[RawBatch]] = {}
    for batch in batches:
        of.setdefault(batch.partition, []).append(batch)
    runs = {partition: scan(some) for partition, some in of.items()}
    rows = sum(run.rows for run in runs.values())
    if rows <= most:
        return AtOnce([], runs, rows, None)
    last = batches[-1]
    run = runs[last.partition]
    kept = run.rows - (rows - most)  # what is too much is of the last batch
    runs[last.partition] = run.first(kept)
    return AtOnce([], runs, most, last._replace(from_offset=int(run.offset[kept])))
