"""The ledger entry: what became of one run of source records, for every grant concerned."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import crc32c

from exchange import names
from exchange.gap import Gap
from exchange.ledger.merkle import EMPTY_ROOT

if TYPE_CHECKING:
    import numpy as np

SCHEMA_FILE = Path(__file__).with_name("ledger_entry.avsc")
TAG_BYTES = 16
NULL_TAG = bytes(TAG_BYTES)
_TAG_PERSON = b"exchange.tag\0\0\0\0"


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
class Withdrawn:
    """Records by which rows were withdrawn that the grants' readers held, for one reason; `bitmap` as for Withheld.

    Readers got `records` for them: more than `count` if an entity was deleted whose rows they know by handles.
    """

    reason: str
    count: int
    bitmap: bytes | None
    records: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What some grants of one view got; `digest` is the Merkle root over the records as delivered, and withdrawals."""

    grants: tuple[str, ...]
    delivered: int
    size_bytes: int
    digest: bytes
    withheld: tuple[Withheld, ...]
    withdrawn: tuple[Withdrawn, ...] = ()


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
    row_tags: bytes = b""

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
    parts: tuple[Withheld | Withdrawn, ...] = (*outcome.withheld, *outcome.withdrawn)
    for part in parts:
        if part.bitmap is None:
            mask[:] = False
        else:
            bits = np.frombuffer(part.bitmap, np.uint8)
            mask &= np.unpackbits(bits, count=entry.count, bitorder="little") == 0
    mask[[quarantined.index for quarantined in entry.quarantined]] = False
    return mask


def rows_of(entry: Entry, wanted: bytes) -> np.ndarray:
    """int64[n]: the indexes of the entry's records that have this tag."""
    import numpy as np

    tags = np.frombuffer(entry.tags, ">u8").reshape(-1, 2)
    return np.flatnonzero((tags == np.frombuffer(wanted, ">u8")).all(axis=1))
