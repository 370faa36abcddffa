"""A source that takes changes from Debezium's topic: its progress is the offsets, so each message counts once."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from exchange.bus.connection import BusForbiddenError, BusLoginError, BusUntrustedError, Cluster
from exchange.bus.consume import Consumer
from exchange.bus.record import Record, records
from exchange.connect.columns import PROGRESS, Columns
from exchange.connect.config import SourceConfig
from exchange.connect.debezium.envelope import Envelope
from exchange.connect.published import Leftovers, others
from exchange.connect.roll_call import RollCall
from exchange.connect.source import Bad, Deleted, Page, Progress, Row, Source
from exchange.connect.window import ProgressError
from exchange.errors import ConfigError
from exchange.gap import GapError

NEXT = "debezium"  # the only progress: the topic, its id, and the next offset of each partition
POLL_S, QUIET_S = 0.5, 5.0
_AGAIN = "raise `snapshot` by one: the topic is read from its beginning"


class DebeziumTopicError(ConfigError):
    """Debezium's topic cannot be taken from, or not from where the source was."""

    code = "debezium-topic"
    remedy = f"correct `debezium`, or {_AGAIN}"


class DebeziumSource(Source):
    """Yields the changes of one topic, in the order of each partition.

    It remembers which rows are published, because TRUNCATE names none: then it asks a person, or deletes them all.
    """

    def __init__(
        self,
        config: SourceConfig,
        cluster: Cluster,
        envelope: Envelope,
        wanted: Sequence[str] | None,
        roll_call: RollCall,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__({})
        assert config.debezium is not None
        self._config, self._debezium = config, config.debezium
        self._topic = config.debezium.topic
        self._cluster, self._envelope = cluster, envelope
        self._wanted, self._roll_call = wanted, roll_call
        self._monotonic = monotonic
        self._consumer: Consumer | None = None
        self._next: dict[int, int] = {}
        self._ends: Mapping[int, int] = {}
        self._rows: list[Row | Deleted | Bad] = []
        self._places: list[str] = []
        self._oldest: float | None = None
        self._shape: frozenset[str] = frozenset()

    def look(self) -> tuple[int, Page | None]:
        """How many of its first offsets the topic has lost, and a page of its first changes, as they are in it."""
        self._begin({})
        lost = sum(self._next.values())
        return lost, next((page for page in self._pages() if page.rows), None)

    def open(self, progress: Progress) -> None:
        self._roll_call.open(progress)
        self._begin(others(progress))

    def pages(self) -> Iterator[Page]:
        for page in self._pages():
            yield self._roll_call.remembered(page)

    def left(self) -> int:
        return sum(max(0, end - self._next.get(partition, 0)) for partition, end in self._ends.items())

    def settled(self) -> bool:
        return self.left() == 0

    def close(self) -> None:
        self._roll_call.close()
        if self._consumer is not None:
            self._consumer.close()

    def _begin(self, progress: Progress) -> None:
        self._columns = Columns(progress, self._wanted, self._config.optional)
        self._leftovers = Leftovers(dict.fromkeys(name for name in progress if name not in (NEXT, PROGRESS)))
        with self._its_kafka():
            self._consumer = self._consumer or Consumer(self._cluster)
            if not self._consumer.partitions(self._topic):
                raise DebeziumTopicError(f"there is no topic {self._topic}, or this login may not see it")
            self._id = self._consumer.topic_ids([self._topic]).get(self._topic, "")
        self._next = self._noted(progress.get(NEXT))
        self._read(is_first=True)

    def _noted(self, value: bytes | None) -> dict[int, int]:
        """The offsets where the source was; none if it is to begin."""
        if value is None:
            return {}
        try:
            noted = json.loads(value)
            snapshot, topic, topic_id = noted["snapshot"], noted["topic"], noted["id"]
            offsets = {int(partition): int(at) for partition, at in noted["next"].items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ProgressError("the offsets in Debezium's topic are not readable") from error
        if snapshot > self._debezium.snapshot:
            raise DebeziumTopicError(f"`snapshot` was {snapshot} before", remedy="write that, or a number above it")
        if snapshot < self._debezium.snapshot:
            return {}
        if topic != self._topic:
            raise DebeziumTopicError(f"the topic was {topic} before", remedy=f"name that, or {_AGAIN}")
        self._id = topic_id or self._id
        return offsets

    def _read(self, *, is_first: bool = False) -> None:
        """Read all partitions: someone may add some at any time."""
        assert self._consumer is not None
        there = {(self._topic, partition) for partition in self._consumer.partitions(self._topic)}
        new = {place for place in there if place[1] not in self._next}
        if new:
            self._next |= {partition: at for (_, partition), at in self._consumer.begin_offsets(new).items()}
        if new or is_first:
            places = {(self._topic, partition): at for partition, at in self._next.items()}
            self._consumer.assign(places, {self._topic: self._id} if self._id else {})
        self._ends = {partition: at for (_, partition), at in self._consumer.end_offsets(there).items()}

    def _pages(self) -> Iterator[Page]:
        """What is in the topic now; progress of others is forgotten first."""
        assert self._consumer is not None
        yield from self._leftovers.pages()
        with self._its_kafka():
            self._read()
        quiet_since = self._monotonic()
        while self.left() and self._monotonic() - quiet_since < QUIET_S:
            with self._its_kafka():
                batches = self._consumer.poll(POLL_S)
            before = dict(self._next)
            for batch in batches:
                for record in records(batch):
                    yield from self._record(record)
            for (_, partition), (at, _) in self._consumer.positions().items():
                self._next[partition] = max(at, self._next[partition])  # behind markers and what compaction removed
            if before != self._next:
                yield self._page()
                quiet_since = self._monotonic()

    def _record(self, record: Record) -> Iterator[Page]:
        change = self._envelope.change(record.key, record.value)
        place = f"{self._topic}/{record.partition} offset {record.offset}"
        if change is None:
            yield self._page()
            yield from self._emptied(place)
        for row in change or ():
            if isinstance(row, Mapping) and row.keys() != self._shape:
                yield from self._same_columns(frozenset(row), place)
        self._rows += change or ()
        self._places += [place] * len(change or ())
        self._oldest = self._oldest or record.timestamp_ms / 1000
        self._next[record.partition] = record.offset + 1
        if len(self._rows) >= self._config.page_rows:
            yield self._page()

    def _same_columns(self, there: frozenset[str], place: str) -> Iterator[Page]:
        if self._rows:
            yield self._page()  # which notes the columns so far
        self._columns.require(there, f"from {place} on, the table")
        self._shape = there

    def _emptied(self, place: str) -> Iterator[Page]:
        """Delete all rows that are published, or ask first; a row of another partition may have come after."""
        if len(self._next) > 1:
            message = f"{place}: the table was emptied by TRUNCATE; of {len(self._next)} partitions, nobody knows when"
            raise DebeziumTopicError(message, remedy=f"have Debezium write a topic of one partition, and {_AGAIN}")
        self._roll_call.rows.begin()
        yield from self._roll_call.check()
        yield from self._roll_call.deletions()

    def _page(self) -> Page:
        noted = {"snapshot": self._debezium.snapshot, "topic": self._topic, "id": self._id, "next": self._next}
        progress = {NEXT: json.dumps(noted).encode(), **(self._columns.noted(self._shape) if self._shape else {})}
        page = Page(self._rows, progress, self._places, self._oldest)
        self._rows, self._places, self._oldest = [], [], None
        return page

    @contextmanager
    def _its_kafka(self) -> Iterator[None]:
        """Name the department's Kafka in errors, which else are about the exchange's."""
        try:
            yield
        except (BusForbiddenError, BusLoginError, BusUntrustedError) as error:
            message = f"{self._debezium.bootstrap_servers}: {error.message}"
            raise type(error)(message, remedy="correct `login_file`, or that login's rights") from error
        except GapError as error:
            raise GapError(error.gaps, remedy=f"{_AGAIN}; deletions among them are lost") from error
