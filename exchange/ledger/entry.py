"""The ledger entry: what became of one run of source records, for every grant concerned."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import crc32c

from exchange import names
from exchange.errors import CorruptionError
from exchange.gap import Gap
from exchange.ledger.merkle import EMPTY_ROOT
from exchange.schema import avro

if TYPE_CHECKING:
    import numpy as np

SCHEMA_FILE = Path(__file__).with_name("ledger_entry.avsc")
TAG_BYTES = 16
NULL_TAG = bytes(TAG_BYTES)
_TAG_PERSON = b"exchange.tag\0\0\0\0"
_1970 = datetime(1970, 1, 1, tzinfo=UTC)


class EntryError(CorruptionError):
    """A ledger entry cannot be read, or its sums do not balance."""

    code = "ledger-entry"
    remedy = "find out who else may write the ledger topic"


@dataclass(frozen=True, slots=True)
class Span:
    """Consecutive source offsets `first` … `first + count - 1`."""

    first: int
    count: int


@dataclass(frozen=True, slots=True)
class Withheld:
    """Records that were not delivered, for one reason.

    Bit i of `bitmap` (least significant first) stands for record i of the entry; None means all records that are not
    quarantined.
    """

    reason: str
    count: int
    bitmap: bytes | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the grants of one view got; `digest` is the Merkle root over the records as delivered."""

    grants: tuple[str, ...]
    delivered: int
    size_bytes: int
    digest: bytes
    withheld: tuple[Withheld, ...]


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A record that no grant got, because it is not a valid record of the subject."""

    index: int
    offset: int
    reason: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry; `ledger_entry.avsc` says what the fields mean."""

    epoch: int
    router: str
    time_ms: int
    topic: str
    partition: int
    runs: tuple[Span, ...]
    count: int
    root: bytes
    tags: bytes
    outcomes: tuple[Outcome, ...]
    quarantined: tuple[Quarantined, ...]
    replay: str | None = None
    gap: Gap | None = None
    gap_accepted: bool = False

    @property
    def is_adoption(self) -> bool:
        """Whether the entry says that a router took a new epoch; it then covers no source records."""
        return self.topic == names.CONTRACT_TOPIC

    def offset(self, index: int) -> int:
        """The source offset of record `index`; raises IndexError if the entry has no such record."""
        for span in self.runs:
            if 0 <= index < span.count:
                return span.first + index
            index -= span.count
        raise IndexError(index)


def adoption(epoch: int, router: str, time_ms: int, offset: int) -> Entry:
    """The entry by which `router` says that it took `epoch`, found at `offset` of the contract topic."""
    return Entry(
        epoch=epoch,
        router=router,
        time_ms=time_ms,
        topic=names.CONTRACT_TOPIC,
        partition=0,
        runs=(Span(offset, 1),),
        count=1,
        root=EMPTY_ROOT,
        tags=NULL_TAG,
        outcomes=(),
        quarantined=(),
    )


def of_gap(gap: Gap, epoch: int, router: str, time_ms: int, *, accepted: bool) -> Entry:
    """The entry that says which records `router` could not decide; `accepted`: it went on after them."""
    return Entry(
        epoch=epoch,
        router=router,
        time_ms=time_ms,
        topic=gap.topic,
        partition=gap.partition,
        runs=(),
        count=0,
        root=EMPTY_ROOT,
        tags=b"",
        outcomes=(),
        quarantined=(),
        gap=gap,
        gap_accepted=accepted,
    )


def tag(key: bytes | None, ledger_key: bytes) -> bytes:
    """The 16-byte keyed tag by which the ledger knows a record key; zero bytes for null."""
    if key is None:
        return NULL_TAG
    return hashlib.blake2b(key, digest_size=TAG_BYTES, key=ledger_key, person=_TAG_PERSON).digest()


def record_key(topic: str, partition: int) -> bytes:
    """The Kafka key of the entries about one source partition.

    >>> record_key("subject.tax.income", 3)
    b'subject.tax.income/3'
    """
    return f"{topic}/{partition}".encode()


def ledger_partition(topic: str, partition: int, partitions: int) -> int:
    """The partition of `exchange.ledger`, one of `partitions`, that holds a source partition's entries."""
    return crc32c.crc32c(record_key(topic, partition)) % partitions


def delivered_mask(entry: Entry, outcome: Outcome) -> np.ndarray:
    """bool[count]: which records of the entry the outcome's grants got."""
    import numpy as np  # imported here, because commands must start quickly and do not need it

    mask = np.ones(entry.count, bool)
    for withheld in outcome.withheld:
        if withheld.bitmap is None:
            mask[:] = False
        else:
            bits = np.frombuffer(withheld.bitmap, np.uint8)
            mask &= np.unpackbits(bits, count=entry.count, bitorder="little") == 0
    mask[[quarantined.index for quarantined in entry.quarantined]] = False
    return mask


def rows_of(entry: Entry, wanted: bytes) -> np.ndarray:
    """int64[n]: the indexes of the entry's records that have this tag."""
    import numpy as np

    tags = np.frombuffer(entry.tags, ">u8").reshape(-1, 2)
    return np.flatnonzero((tags == np.frombuffer(wanted, ">u8")).all(axis=1))


@cache
def _versions() -> tuple[avro.Schema, ...]:
    """All versions of the entry's schema, newest first; each lacks one more of the fields that were appended later.

    Fields are only ever appended, with a default. What an older version wrote is thus the beginning of what a newer
    one writes, and a body is complete under exactly one version.
    """
    newest = avro.load(SCHEMA_FILE)
    fields = newest.definition["fields"]
    appended = sum("default" in field for field in fields)
    ends = range(len(fields), len(fields) - appended - 1, -1)
    return tuple(avro.parse(json.dumps({**newest.definition, "fields": fields[:end]})) for end in ends)


def encode(entry: Entry) -> bytes:
    """The entry's Avro body; `schema.wire` puts the schema id in front."""
    return avro.encode(
        _versions()[0],
        {
            "epoch": entry.epoch,
            "router": entry.router,
            "time": _1970 + timedelta(milliseconds=entry.time_ms),
            "topic": entry.topic,
            "partition": entry.partition,
            "runs": [{"first": span.first, "count": span.count} for span in entry.runs],
            "count": entry.count,
            "root": entry.root,
            "tags": entry.tags,
            "outcomes": [
                {
                    "grants": outcome.grants,
                    "delivered": outcome.delivered,
                    "bytes": outcome.size_bytes,
                    "digest": outcome.digest,
                    "withheld": [{"reason": w.reason, "count": w.count, "bitmap": w.bitmap} for w in outcome.withheld],
                }
                for outcome in entry.outcomes
            ],
            "quarantined": [{"index": q.index, "offset": q.offset, "reason": q.reason} for q in entry.quarantined],
            "replay": entry.replay,
            "gap": entry.gap
            and {
                "first": entry.gap.first,
                "next": entry.gap.next,
                "cause": entry.gap.cause,
                "topic_id": entry.gap.topic_id,
                "accepted": entry.gap_accepted,
            },
        },
    )


def decode(body: bytes | memoryview) -> Entry:
    """The entry in an Avro body, whichever version wrote it; raises `EntryError` if the body is not an entry."""
    raw = _record(body)
    gap = dict(raw.get("gap") or {})
    accepted = gap.pop("accepted", False)
    return Entry(
        epoch=raw["epoch"],
        router=raw["router"],
        time_ms=_milliseconds(raw["time"]),
        topic=raw["topic"],
        partition=raw["partition"],
        runs=tuple(Span(**span) for span in raw["runs"]),
        count=raw["count"],
        root=raw["root"],
        tags=raw["tags"],
        outcomes=tuple(
            Outcome(
                grants=tuple(outcome["grants"]),
                delivered=outcome["delivered"],
                size_bytes=outcome["bytes"],
                digest=outcome["digest"],
                withheld=tuple(Withheld(**withheld) for withheld in outcome["withheld"]),
            )
            for outcome in raw["outcomes"]
        ),
        quarantined=tuple(Quarantined(**quarantined) for quarantined in raw["quarantined"]),
        replay=raw.get("replay"),
        gap=Gap(topic=raw["topic"], partition=raw["partition"], **gap) if gap else None,
        gap_accepted=accepted,
    )


def _record(body: bytes | memoryview) -> dict[str, Any]:
    failure: avro.DecodeError | None = None
    for version in _versions():
        try:
            return avro.decode(version, body)
        except avro.DecodeError as error:
            failure = failure or error
    raise EntryError("a ledger record is not a ledger entry") from failure


def _milliseconds(time: datetime) -> int:
    return (time - _1970) // timedelta(milliseconds=1)


def validate_entry(entry: Entry) -> None:
    """Raise `EntryError` unless every record of the entry has exactly one outcome for each view.

    Runs ascend, and their counts sum to the entry's; there is one tag per record. Delivered, withheld and quarantined
    sum to the count. Bitmaps are as long as the entry, have as many bits set as they count, and overlap neither each
    other nor the quarantined records. A replay concerns one grant. An entry about a gap covers no records.
    """
    _check(sum(span.count for span in entry.runs) == entry.count, entry, "runs do not sum to the count")
    _check(all(span.count > 0 and span.first >= 0 for span in entry.runs), entry, "a run is empty or negative")
    ascending = all(a.first + a.count <= b.first for a, b in zip(entry.runs, entry.runs[1:], strict=False))
    _check(ascending, entry, "runs overlap or are out of order")
    _check(len(entry.tags) == TAG_BYTES * entry.count, entry, "tags do not match the count")
    quarantined = 0
    for bad in entry.quarantined:
        _check(0 <= bad.index < entry.count and not quarantined >> bad.index & 1, entry, "a quarantined index is wrong")
        _check(bad.offset == entry.offset(bad.index), entry, "a quarantined offset is not that of its index")
        quarantined |= 1 << bad.index
    grants = [grant for outcome in entry.outcomes for grant in outcome.grants]
    _check(len(grants) == len(set(grants)), entry, "a grant has two outcomes")
    _check(entry.replay is None or len(grants) == 1, entry, "a replay is not of one grant")
    _check(entry.gap is None or not (entry.count or grants), entry, "an entry of a gap covers records")
    for outcome in entry.outcomes:
        reasons = [withheld.reason for withheld in outcome.withheld]
        _check(len(reasons) == len(set(reasons)), entry, "a reason for withholding is given twice")
        _validate_outcome(entry, outcome, quarantined)


def _validate_outcome(entry: Entry, outcome: Outcome, quarantined: int) -> None:
    total = outcome.delivered + sum(withheld.count for withheld in outcome.withheld) + len(entry.quarantined)
    _check(total == entry.count, entry, "delivered, withheld and quarantined do not sum to the count")
    _check(outcome.delivered >= 0 and len(outcome.digest) == 32, entry, "an outcome is malformed")
    taken = quarantined
    everything = (1 << entry.count) - 1
    for withheld in outcome.withheld:
        if withheld.bitmap is None:
            bits = everything & ~quarantined
        else:
            _check(len(withheld.bitmap) == (entry.count + 7) // 8, entry, "a bitmap is not as long as the entry")
            bits = int.from_bytes(withheld.bitmap, "little")
        _check(
            bits & ~everything == 0 and bits.bit_count() == withheld.count, entry, "a bitmap does not hold its count"
        )
        _check(bits & taken == 0, entry, "a record has two outcomes")
        taken |= bits


def _check(holds: bool, entry: Entry, fault: str) -> None:
    if not holds:
        place = f"{entry.topic}/{entry.partition} from offset {entry.runs[0].first if entry.runs else '?'}"
        raise EntryError(f"ledger entry for {place}: {fault}")
