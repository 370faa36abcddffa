"""What a draft grant would give of retained records, decided by the router's own `step`; nothing is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np

from exchange import names
from exchange.bus import Cluster
from exchange.bus.consume import Consumer
from exchange.contract.epoch import alone
from exchange.contract.model import Epoch, Grant
from exchange.contract.period import city_day, in_force, midnight
from exchange.ledger.entry import TAG_BYTES, Entry, delivered_mask
from exchange.names import Partition
from exchange.records.header import RawBatch, parse
from exchange.records.row_table import RowTable
from exchange.records.scan import scan
from exchange.records.tags import Tagger
from exchange.records.warm_up import warm_up
from exchange.replay.hypothesis import drafted
from exchange.router.ready import make_ready
from exchange.router.resync import learn
from exchange.router.retained import MAX_BATCHES, retained
from exchange.router.step import RunSource, Step, step
from exchange.schema import avro, wire
from exchange.schema.avro import Schema
from exchange.schema.types import Field

_NO_SECRET = bytes(32)  # no pseudonym's value appears in what is counted or shown here
_MERGE_AT = 1 << 20
_NONE, _ONLY_DRAFT, _ONLY_NOW, _BOTH = (np.int32(number) for number in (1, 2, 3, 4))


class Persons:
    """A set of entities, by their 16-byte tags; exact, with 16 bytes of memory for each."""

    def __init__(self) -> None:
        self._parts: list[np.ndarray] = []
        self._waiting = 0

    def add(self, tags: np.ndarray) -> None:
        """Add the tags (S16[n]) of records; null tags are about nobody."""
        self._parts.append(np.unique(tags[tags != b""]))
        self._waiting += len(self._parts[-1])
        if self._waiting > _MERGE_AT + len(self._parts[0]):
            self.tags()

    def tags(self) -> np.ndarray:
        """All tags, each once, sorted."""
        merged = np.unique(np.concatenate([np.empty(0, "S16"), *self._parts]))
        self._parts, self._waiting = [merged], len(merged)
        return merged


@dataclass
class Given:
    """What one grant gives of the records read."""

    grant: Grant
    fields: tuple[str, ...]
    delivered: int = 0
    withheld: Counter[str] = field(default_factory=Counter)
    persons: Persons = field(default_factory=Persons)

    @property
    def described(self) -> list[str]:
        """Its fields, each with its mask if it has one."""
        masks = self.grant.masks
        return [f"{name} ({masks[name].kind})" if name in masks else name for name in self.fields]

    def add(self, entry: Entry) -> np.ndarray:
        """Count an entry for this grant alone; return which of its records were delivered (bool[n])."""
        [outcome] = entry.outcomes
        self.delivered += outcome.delivered
        self.withheld.update({withheld.reason: withheld.count for withheld in outcome.withheld})
        given = delivered_mask(entry, outcome)
        self.persons.add(np.frombuffer(entry.tags, f"S{TAG_BYTES}")[given])
        return given


@dataclass
class Simulated:
    """The result: `draft`'s numbers and those of `now`, the reader's grant in force (None if there is none).

    `gained` and `lost` count records that only the draft, or only `now`, gives. If the subject has a key, `rows_gained`
    and `withdrawn` count the rows that the reader would get and lose, by the newest version of each. `sample` shows,
    for a few delivered records, what kind of value each field has, but never the value.
    """

    draft: Given
    now: Given | None
    records: int = 0
    quarantined: int = 0
    gained: int = 0
    lost: int = 0
    rows_gained: int = 0
    withdrawn: int = 0
    sample: list[dict[str, str]] = field(default_factory=list)

    @property
    def fields_gained(self) -> list[str]:
        """What only the draft gives, or gives with another mask."""
        before = self.now.described if self.now else ()
        return [each for each in self.draft.described if each not in before]

    @property
    def fields_lost(self) -> list[str]:
        """What only the grant in force gives, or gives with another mask."""
        return [each for each in (self.now.described if self.now else ()) if each not in self.draft.described]

    @property
    def persons_gained(self) -> int:
        """Persons of whom only the draft gives a record."""
        return len(np.setdiff1d(self.draft.persons.tags(), self._now(), assume_unique=True))

    @property
    def persons_lost(self) -> int:
        """Persons of whom only the grant in force gives a record."""
        return len(np.setdiff1d(self._now(), self.draft.persons.tags(), assume_unique=True))

    def _now(self) -> np.ndarray:
        return self.now.persons.tags() if self.now else np.empty(0, "S16")


@dataclass(frozen=True)
class Scope:
    """Which retained records to read, and how many of them to show as a `sample`.

    Records from `from_ms` to before `until_ms` (ms since 1970; None: all that are kept), at most `limit` of them: the
    newest of each partition.
    """

    from_ms: int | None = None
    until_ms: int | None = None
    limit: int = 1_000_000
    sample: int = 5


def simulate(
    cluster: Cluster,
    epoch: Epoch,
    draft: Grant,
    now: datetime,
    scope: Scope,
    tag_key: bytes,
    report: Callable[[int], None] = lambda records: None,
) -> Simulated:
    """Decide records by the draft, as if in force under `epoch`, and by the reader's grant in force at `now`.

    Quotas are not applied. `tag_key` (32 bytes) may be any key. `report` gets the number of records after each step.
    """
    warm_up()
    held = next((g for g in in_force(epoch.contract, now) if _same_reader(g, draft)), None)
    sides = [_Side(drafted(epoch, draft), draft, now), *([_Side(alone(epoch, held), held, now)] if held else [])]
    found = Simulated(sides[0].given, sides[1].given if held else None)
    tagger = Tagger(tag_key)
    topic = names.subject_topic(draft.subject)
    latest = RowTable()
    with Consumer(cluster, max_batches=MAX_BATCHES) as source:
        for (_, partition), run in retained(source, _spans(source, topic, scope)):
            place = RunSource(topic, partition, epoch.number, "simulation", 0)
            made = [step(run, side.ready, place, tagger) for side in sides]
            given = [side.given.add(one.entry) for side, one in zip(sides, made, strict=True)]
            before = given[1] if held else np.zeros(run.rows, bool)
            found.records += run.rows
            found.quarantined += len(made[0].entry.quarantined)
            found.gained += int((given[0] & ~before).sum())
            found.lost += int((before & ~given[0]).sum())
            _learn(latest, made[0].entry, given[0], before)
            found.sample += sides[0].sample(made[0], scope.sample - len(found.sample))
            report(run.rows)
    states = latest.held()[1]
    found.rows_gained, found.withdrawn = int((states == _ONLY_DRAFT).sum()), int((states == _ONLY_NOW).sum())
    return found


def _learn(latest: RowTable, entry: Entry, draft: np.ndarray, now: np.ndarray) -> None:
    """Remember of each row which of both give its newest version."""
    if entry.row_tags:
        tags = np.frombuffer(entry.row_tags, "<u8").reshape(-1, 2).astype(np.uint64)
        good = np.setdiff1d(np.arange(entry.count), [quarantined.index for quarantined in entry.quarantined])
        learn(latest, tags, good, np.where(draft, np.where(now, _BOTH, _ONLY_DRAFT), np.where(now, _ONLY_NOW, _NONE)))


class _Side:
    """One of the grants to compare, ready to decide; if it is not in force at `now`, then as on its first day."""

    def __init__(self, epoch: Epoch, grant: Grant, now: datetime) -> None:
        moment = now if grant.from_ <= city_day(now) <= grant.until else midnight(grant.from_)
        self.given = Given(grant, tuple(epoch.given(grant) or _newest(epoch, grant).fields))
        self.ready = make_ready(epoch, grant.subject, moment, _NO_SECRET)
        self._schemas = {schema_id: avro.parse(text) for schema_id, text in epoch.schemas.items()}

    def sample(self, made: Step, most: int) -> list[dict[str, str]]:
        """The shapes of the first records that a step delivers."""
        inbox = (names.inbox_topic(self.given.grant.reader, self.given.grant.subject), made.entry.partition)
        shown = []
        for batch in made.outputs.get(inbox, [])[:1] if most > 0 else []:
            run = scan([RawBatch(*inbox, parse(batch.head), memoryview(batch.data), 0)])
            for value in run.values.tolist()[:most]:
                if value is not None:
                    schema_id, body = wire.unpack(value)
                    schema = self._schemas[schema_id]
                    shown.append({name: shape(schema.fields[name], v) for name, v in avro.decode(schema, body).items()})
        return shown


def shape(field: Field, value: Any) -> str:
    """What kind of value a field has, with the length of texts and lists; nothing else about the value.

    >>> from exchange.schema.types import Field, Type
    >>> shape(Field("name", Type("string", "string"), {}), "Wu Mei")
    'text (6)'
    """
    if value is None:
        return "null"
    if field.solid.kind in ("string", "bytes", "array", "map") and hasattr(value, "__len__"):
        return f"{'text' if field.solid.kind == 'string' else field.solid.kind} ({len(value)})"
    return field.solid.means


def _same_reader(one: Grant, other: Grant) -> bool:
    return (one.subject, one.reader) == (other.subject, other.reader)


def _newest(epoch: Epoch, grant: Grant) -> Schema:
    return avro.parse(epoch.schemas[epoch.writers[grant.subject][-1]])


def _spans(source: Consumer, topic: str, scope: Scope) -> dict[Partition, tuple[int, int]]:
    """The offsets to read in each partition."""
    places = [(topic, partition) for partition in source.partitions(topic)]
    begins, ends = source.begin_offsets(places), source.end_offsets(places)
    starts = begins if scope.from_ms is None else source.offsets_at(places, scope.from_ms)
    stops = ends if scope.until_ms is None else source.offsets_at(places, scope.until_ms)
    most = -(-scope.limit // max(1, len(places)))
    return {
        place: (max(begins[place], starts[place], stops[place] - most), min(ends[place], stops[place]))
        for place in places
    }
