"""What a replay has to decide: the retained records of its window, minus what the ledger says is done."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np

from exchange import names
from exchange.bus import Cluster
from exchange.bus.consume import Consumer
from exchange.bus.topics import read
from exchange.errors import ConfigError
from exchange.ledger.body import decode
from exchange.ledger.entry import Entry, delivered_mask, ledger_partition, record_key
from exchange.schema import wire

# A broker refuses records dated more than an hour ahead (`message.timestamp.after.max.ms`). So whatever follows a
# record of time t was appended after t - 1 h, and so was its entry.
_EARLIER_MS = 2 * 60 * 60 * 1000
_READ_S = 900.0


@dataclass(frozen=True)
class Order:
    """What to replay: records of `grant`'s subject from one time to another.

    The window begins with the first record of time `from_ms` or later and ends before the first one of time `until_ms`
    or later (ms since 1970; None: with all that the live flow has decided). Of these records, the replay decides those
    that the grant has never delivered, or all with `again`. Whatever entries with this `id` cover counts as done.
    """

    id: str
    grant: str
    from_ms: int
    until_ms: int | None
    again: bool


def order_id(grant: str, from_ms: int, until_ms: int | None, again: bool) -> str:
    """The id of a replay if none is given: the same for the same order, so that running it again continues it.

    >>> order_id("g", 0, None, False)
    'g.f5bea757'
    """
    return f"{grant}.{blake2b(repr((from_ms, until_ms, again)).encode(), digest_size=4).hexdigest()}"


def order_of(grant: str, from_ms: int, until_ms: int | None, *, again: bool, id_: str | None = None) -> Order:
    """The order of that id, else of the one that follows from it; ConfigError for an invalid id."""
    name = id_ or order_id(grant, from_ms, until_ms, again)
    if not re.fullmatch(names.REPLAY_ID, name):
        raise ConfigError(f"{name!r} is not a replay's id", remedy="use letters, digits, dots, hyphens, underscores")
    return Order(name, grant, from_ms, until_ms, again)


@dataclass(frozen=True, eq=False)
class DueWindow:
    """Offsets of one source partition from `start` on; those marked in `due` (bool[n]) are to be decided."""

    partition: int
    start: int
    due: np.ndarray

    def rows(self, offset: np.ndarray) -> np.ndarray:
        """int64[n]: the indexes of those of these offsets (int64, ascending) that are due."""
        inside = np.flatnonzero((offset >= self.start) & (offset < self.start + len(self.due)))
        return np.compress(self.due[offset[inside] - self.start], inside)

    @property
    def first(self) -> int:
        """The first offset that is due; the end if none is."""
        return self.start + int(np.argmax(self.due)) if self.due.any() else self.end

    @property
    def end(self) -> int:
        """The offset after the last one."""
        return self.start + len(self.due)


@dataclass
class Done:
    """What became of a replay's records, according to its entries."""

    records: int = 0
    delivered: int = 0
    quarantined: int = 0
    withheld: Counter[str] = field(default_factory=Counter)

    def add(self, entry: Entry) -> None:
        """Count an entry of the replay."""
        self.records += entry.count
        self.quarantined += len(entry.quarantined)
        for outcome in entry.outcomes:
            self.delivered += outcome.delivered
            self.withheld.update({withheld.reason: withheld.count for withheld in outcome.withheld})


@dataclass(frozen=True)
class Survey:
    """The windows of a replay, and what it has done so far. Offsets without a record count too."""

    windows: Sequence[DueWindow]
    done: Done

    @property
    def offsets(self) -> int:
        """The number of offsets in the windows."""
        return sum(len(window.due) for window in self.windows)

    @property
    def due(self) -> int:
        """The number of offsets that are to be decided."""
        return sum(int(window.due.sum()) for window in self.windows)


def survey(cluster: Cluster, order: Order, topic: str) -> Survey:
    """Find the windows on a subject's topic; exact if nobody else replays the grant meanwhile.

    Records that the live flow has not decided yet are left to it.
    """
    with Consumer(cluster, group=names.ROUTER_GROUP) as consumer:
        places = [(topic, partition) for partition in consumer.partitions(topic)]
        # The order matters: whatever is committed now is in the ledger before its end is read.
        routed = consumer.committed(places)
        begins = consumer.begin_offsets(places)
        starts = consumer.offsets_at(places, order.from_ms)
        ends = routed if order.until_ms is None else consumer.offsets_at(places, order.until_ms)
    windows = {}
    for place in places:
        start = max(begins[place], starts[place])
        end = min(routed.get(place, 0), ends.get(place, 0))
        if start < end:
            windows[place[1]] = DueWindow(place[1], start, np.ones(end - start, bool))
    done = Done()
    for entry in _entries(cluster, topic, windows, order.from_ms - _EARLIER_MS):
        if entry.replay == order.id:
            done.add(entry)
        _strike(windows[entry.partition], entry, order)
    return Survey(list(windows.values()), done)


def _entries(cluster: Cluster, topic: str, windows: Mapping[int, DueWindow], since_ms: int) -> Iterator[Entry]:
    """The committed entries about these partitions; waits for transactions that are still open."""
    with Consumer(cluster, isolation="read_uncommitted") as consumer:
        count = len(consumer.partitions(names.LEDGER_TOPIC))
        places = {(names.LEDGER_TOPIC, ledger_partition(topic, partition, count)) for partition in windows}
        starts = consumer.offsets_at(places, max(0, since_ms))
        ends = consumer.end_offsets(places)
    wanted = {record_key(topic, partition) for partition in windows}
    with Consumer(cluster) as consumer:
        for record in read(consumer, starts, ends, timeout_s=_READ_S) if starts else ():
            if record.key in wanted and record.value is not None:
                entry = decode(wire.unpack(record.value)[1])
                if entry.count or entry.gap:
                    yield entry


def _strike(window: DueWindow, entry: Entry, order: Order) -> None:
    """Remove from `due` what the entry says is done; if the topic was created anew after it, all is due again."""
    if entry.gap:
        if entry.gap_accepted and entry.gap.cause == "recreated":
            window.due[:] = True
        return
    offset = np.concatenate([np.arange(run.first, run.first + run.count) for run in entry.runs])
    if entry.replay == order.id:
        struck = np.ones(entry.count, bool)
    else:
        given = [outcome for outcome in entry.outcomes if order.grant in outcome.grants and not order.again]
        struck = delivered_mask(entry, given[0]) if given else np.zeros(entry.count, bool)
    inside = (offset >= window.start) & (offset < window.end)
    window.due[offset[struck & inside] - window.start] = False
