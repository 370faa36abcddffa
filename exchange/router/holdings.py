"""Where a router keeps which readers hold which rows: in memory for its partitions, and for ever on Kafka."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator

import numpy as np

from exchange import metrics, names
from exchange.bus import Cluster
from exchange.bus.consume import Consumer
from exchange.bus.topics import read
from exchange.errors import TransientError
from exchange.ledger.body import decode
from exchange.ledger.entry import Entry, Outcome, delivered_mask, ledger_partition, record_key
from exchange.names import Partition
from exchange.router.choose import STAYING
from exchange.router.held import NOT, PASS, STAY, HeldRows, Rows
from exchange.router.retained import MAX_BATCHES, retained
from exchange.schema import wire

_READ_S = 900.0


class NoHoldingsError(TransientError):
    """A subject has a key, and its holdings topic is not there."""

    code = "no-holdings"
    remedy = "run `exchange apply`, which makes it again; routers then fill it from the ledger"


class Holdings:
    """The rows that readers hold of the partitions that this router works on.

    A partition's rows are read when it is first asked for, after its committed offset: that they were written in the
    same transactions, and that nobody else can commit any more, makes them exact.
    """

    def __init__(self, cluster: Cluster, key_id: bytes) -> None:
        self._cluster = cluster
        self._key_id = key_id
        self._held: dict[Partition, HeldRows] = {}
        self._asked: set[Partition] = set()
        self._before: set[Partition] = set()

    def of(self, topic: str, partition: int) -> HeldRows:
        """The rows of a source partition; raises NoHoldingsError if there is no topic for them."""
        place = (topic, partition)
        self._asked.add(place)
        if place not in self._held:
            self._held[place] = self._loaded(topic, partition)
        return self._held[place]

    def turn(self) -> None:
        """What is asked for from now on is for the next transaction; the one before it is being written."""
        self._before, self._asked = self._asked, set()

    def doubt(self) -> None:
        """Forget what the last two transactions changed: whether they are committed is to be seen on Kafka."""
        self.drop(self._before | self._asked)
        self._before, self._asked = set(), set()

    def drop(self, partitions: Collection[Partition]) -> None:
        """Forget partitions that now belong to another router."""
        for place in partitions:
            self._held.pop(place, None)

    def show(self) -> None:
        """Show how many rows there are, and what they take."""
        rows, size = Counter[str](), Counter[str]()
        for (topic, _), held in self._held.items():
            rows[names.subject_of(topic)] += held.rows
            size[names.subject_of(topic)] += held.size_bytes
        for subject, count in rows.items():
            metrics.HELD_ROWS.labels(subject).set(count)
            metrics.HELD_BYTES.labels(subject).set(size[subject])

    def _loaded(self, topic: str, partition: int) -> HeldRows:
        kept = names.holdings_topic(names.subject_of(topic))
        place, held = (kept, partition), HeldRows(self._key_id)
        with Consumer(self._cluster, isolation="read_uncommitted") as consumer:
            if partition not in consumer.partitions(kept):
                raise NoHoldingsError(f"{kept} does not exist, or has no partition {partition}")
            start, end = consumer.begin_offsets([place])[place], consumer.end_offsets([place])[place]
        if end == 0:  # nothing was ever written there: a new subject, or a topic that was deleted
            for entry in _entries(self._cluster, topic, partition):
                held.advance(*_moves(entry))
            held.rewrite()
            return held
        with Consumer(self._cluster, max_batches=MAX_BATCHES) as consumer:
            for _, run in retained(consumer, kept, {partition: (start, end)}):
                held.load(run)
        return held


def _entries(cluster: Cluster, topic: str, partition: int) -> Iterator[Entry]:
    """The committed entries about rows of the partition."""
    with Consumer(cluster, isolation="read_uncommitted") as consumer:
        count = len(consumer.partitions(names.LEDGER_TOPIC))
        place = (names.LEDGER_TOPIC, ledger_partition(topic, partition, count or 1))
        starts, ends = consumer.begin_offsets([place]), consumer.end_offsets([place])
    key = record_key(topic, partition)
    with Consumer(cluster) as consumer:
        for record in read(consumer, starts, ends, timeout_s=_READ_S):
            if record.key == key and record.value is not None:
                entry = decode(wire.unpack(record.value)[1])
                if entry.row_tags:
                    yield entry


def _moves(entry: Entry) -> tuple[Rows, dict[tuple[str, ...], np.ndarray]]:
    """The rows of an entry's records, and what became of each for the grants of each outcome."""
    tags = np.frombuffer(entry.row_tags, "<u8").reshape(-1, 2).astype(np.uint64)
    good = np.ones(entry.count, bool)
    good[[quarantined.index for quarantined in entry.quarantined]] = False
    ends = np.flatnonzero(good & (tags[:, 1] == 0))
    return Rows(tags, np.flatnonzero(good), ends), {o.grants: _states(entry, o) for o in entry.outcomes}


def _states(entry: Entry, outcome: Outcome) -> np.ndarray:
    states = np.where(delivered_mask(entry, outcome), PASS, NOT).astype(np.uint8)
    for withheld in outcome.withheld:
        if withheld.reason in STAYING:
            bits = np.frombuffer(withheld.bitmap or b"\xff" * ((entry.count + 7) // 8), np.uint8)
            states[np.unpackbits(bits, count=entry.count, bitorder="little") == 1] = STAY
    return states
