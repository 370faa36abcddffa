"""Where a router keeps which readers hold which rows: in memory for its partitions, and for ever on Kafka."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping

import numpy as np

from exchange import metrics, names
from exchange.bus import Cluster
from exchange.bus.consume import Consumer
from exchange.bus.topics import read
from exchange.epochs import epochs
from exchange.ledger.body import decode
from exchange.ledger.entry import Entry, Outcome, delivered_mask, ledger_partition, record_key
from exchange.names import Partition
from exchange.router.choose import STAYING
from exchange.router.held import NOT, PASS, STAY, HeldRows, Rows
from exchange.router.retained import MAX_BATCHES, retained
from exchange.router.suspended import Cause
from exchange.schema import wire

_READ_S = 900.0
NO_HOLDINGS = Cause(
    "no-holdings",
    "the holdings topic of a subject with a key does not exist",
    "`exchange apply` makes it again; routers then fill it from the ledger",
)


class Holdings:
    """The rows that readers hold of the partitions that this router works on.

    A partition's rows are read when it is first worked on, after its committed offset: that they were written in the
    same transactions, and that nobody else can commit any more, makes them exact.
    """

    def __init__(self, cluster: Cluster, key_id: bytes) -> None:
        self._cluster = cluster
        self._key_id = key_id
        self._held: dict[Partition, HeldRows] = {}
        self._asked: set[Partition] = set()
        self._before: set[Partition] = set()
        self._shown: set[str] = set()  # the subjects that have gauges

    def of(self, places: Iterable[Partition]) -> dict[Partition, HeldRows]:
        """The rows of each of these source partitions; without those for which there is no topic."""
        wanted = set(places)
        self._asked |= wanted
        if new := wanted - self._held.keys():
            self._load(new)
        return {place: self._held[place] for place in wanted & self._held.keys()}

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
        """Show how many rows there are, and what they take; no longer of subjects that other routers work on."""
        rows, size = Counter[str](), Counter[str]()
        for (topic, _), held in self._held.items():
            rows[names.subject_of(topic)] += held.rows
            size[names.subject_of(topic)] += held.size_bytes
        for subject in self._shown - rows.keys():
            metrics.HELD_ROWS.remove(subject)
            metrics.HELD_BYTES.remove(subject)
        self._shown = set(rows)
        for subject, count in rows.items():
            metrics.HELD_ROWS.labels(subject).set(count)
            metrics.HELD_BYTES.labels(subject).set(size[subject])

    def _load(self, places: Collection[Partition]) -> None:
        kept = {(names.holdings_topic(names.subject_of(topic)), p): (topic, p) for topic, p in places}
        with Consumer(self._cluster, isolation="read_uncommitted") as consumer:
            there = [place for place in kept if place[1] in consumer.partitions(place[0])]
            begins, ends = consumer.begin_offsets(there), consumer.end_offsets(there)
        held = {kept[place]: HeldRows(self._key_id) for place in there}
        spans = {place: (begins[place], ends[place]) for place in there if ends[place]}
        if spans:
            with Consumer(self._cluster, max_batches=MAX_BATCHES) as consumer:
                for place, run in retained(consumer, spans):
                    held[kept[place]].load(run)
        # Nothing was ever written there: the subject is new, or its topic was deleted.
        if empty := {kept[place] for place in there if place not in spans}:
            readers = {
                (one.epoch.number, grant.id): grant.reader
                for one in epochs(self._cluster)
                for grant in one.epoch.contract.grants
            }
            for place, entry in _entries(self._cluster, empty):
                held[place].advance(*_moves(entry, readers))
            for place in empty:
                held[place].rewrite()
        self._held |= held


def _entries(cluster: Cluster, places: Collection[Partition]) -> Iterator[tuple[Partition, Entry]]:
    """The committed entries about rows of these partitions."""
    by_key = {record_key(*place): place for place in places}
    with Consumer(cluster, isolation="read_uncommitted") as consumer:
        count = len(consumer.partitions(names.LEDGER_TOPIC))
        ledger = {(names.LEDGER_TOPIC, ledger_partition(*place, count)) for place in places}
        starts, ends = consumer.begin_offsets(ledger), consumer.end_offsets(ledger)
    with Consumer(cluster) as consumer:
        for record in read(consumer, starts, ends, timeout_s=_READ_S):
            place = by_key.get(record.key or b"")
            if place and record.value is not None:
                entry = decode(wire.unpack(record.value)[1])
                if entry.row_tags:
                    yield place, entry


def _moves(entry: Entry, readers: Mapping[tuple[int, str], str]) -> tuple[Rows, dict[tuple[str, ...], np.ndarray]]:
    """The rows of an entry's records, and what became of each for the readers of each outcome.

    `readers`: the reader of each grant, by the number of an epoch and the grant's id.
    """
    tags = np.frombuffer(entry.row_tags, "<u8").reshape(-1, 2).astype(np.uint64)
    good = np.ones(entry.count, bool)
    good[[quarantined.index for quarantined in entry.quarantined]] = False
    ends = np.flatnonzero(good & (tags[:, 1] == 0))
    return Rows(tags, np.flatnonzero(good), ends), {
        tuple(readers[entry.epoch, grant] for grant in o.grants): _states(entry, o) for o in entry.outcomes
    }


def _states(entry: Entry, outcome: Outcome) -> np.ndarray:
    states = np.where(delivered_mask(entry, outcome), PASS, NOT).astype(np.uint8)
    for withheld in outcome.withheld:
        if withheld.reason in STAYING:
            bits = np.frombuffer(withheld.bitmap or b"\xff" * ((entry.count + 7) // 8), np.uint8)
            states[np.unpackbits(bits, count=entry.count, bitorder="little") == 1] = STAY
    return states
