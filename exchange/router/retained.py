"""Reads what a subject's topic keeps, independently of the routers, within given offsets."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from itertools import groupby

import numpy as np

from exchange.bus.consume import Consumer
from exchange.errors import TransientError
from exchange.names import Partition
from exchange.records.scan import Run, scan

MAX_BATCHES = 64  # per poll, which limits what is in memory at a time
STALLED_S = 30.0


class StalledError(TransientError):
    """Reading the source stalled before the requested end."""

    code = "stalled"
    remedy = "see that all partitions have a leader, then run it again"


def retained(source: Consumer, spans: Mapping[Partition, tuple[int, int]]) -> Iterator[tuple[Partition, Run]]:
    """The committed records of each partition, in order, from its first offset to before its second one.

    Offsets without a record, such as markers, are skipped. `source` must have no group and return at most MAX_BATCHES
    at a time.
    """
    left = {place: span for place, span in spans.items() if span[0] < span[1]}
    if left:
        source.assign({place: start for place, (start, _) in left.items()})
    heard = time.monotonic()
    while left:
        batches = source.poll(0.5)
        for place, some in groupby(batches, lambda batch: (batch.topic, batch.partition)):
            run = scan(list(some))
            wanted = np.flatnonzero(run.offset < left[place][1])
            if len(wanted):  # empty if the span ends with a marker and records came after it
                yield place, run.at(wanted)
        at = {place: position for place, (position, _) in source.positions().items()}
        going_on = {place: span for place, span in left.items() if at.get(place, 0) < span[1]}
        if batches or len(going_on) < len(left):
            heard = time.monotonic()
        elif time.monotonic() - heard > STALLED_S:
            topics = ", ".join(sorted({topic for topic, _ in left}))
            raise StalledError(f"{topics} stopped short of its end for {STALLED_S:.0f} s")
        if len(going_on) < len(left):
            left = going_on
            source.assign({place: at.get(place, start) for place, (start, _) in left.items()})
