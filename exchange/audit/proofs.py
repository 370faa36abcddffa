"""What `exchange ledger verify` reads from Kafka before it computes: grants, schemas and entries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from exchange import names
from exchange.audit.reread import Report, Reread, plain_records
from exchange.bus import Cluster
from exchange.contract import epoch
from exchange.contract.model import Epoch, Grant, Subject
from exchange.ledger.body import decode
from exchange.ledger.entry import Entry
from exchange.schema import wire


class GrantTerms(NamedTuple):
    """A grant of one epoch: whether it gives records as they are, and whether its reader does not see rows' keys."""

    grant: Grant
    subject: Subject
    is_whole: bool
    hides_key: bool

    @property
    def source(self) -> str:
        """The topic of its subject."""
        return names.subject_topic(self.grant.subject)

    @property
    def inbox(self) -> str:
        """The topic of its reader's deliveries."""
        return names.inbox_topic(self.grant.reader, self.grant.subject)


@dataclass(frozen=True)
class Contracts:
    """Every grant by epoch and id, every epoch's subjects, and all schemas by id."""

    grants: Mapping[tuple[int, str], GrantTerms]
    subjects: Mapping[tuple[int, str], Subject]
    schemas: Mapping[int, str]


@dataclass(frozen=True)
class Mismatch:
    """A place at which ledger and records differ."""

    place: str
    fault: str


@dataclass
class Verification:
    """What was recomputed, and where it differs; `unverifiable` entries cover records that are no longer kept.

    `deliveries` counts withdrawals too. `rows`: how many rows readers hold of subjects with a key. `gaps` counts those
    after which routers went on because a person accepted them; any other gap is a mismatch.
    """

    entries: int = 0
    records: int = 0
    deliveries: int = 0
    rows: int = 0
    unverifiable: int = 0
    pending: int = 0
    gaps: int = 0
    mismatches: list[Mismatch] = field(default_factory=list)

    def expect(self, holds: bool, place: str, fault: str) -> None:
        """Note the fault of that place, unless it holds."""
        if not holds:
            self.mismatches.append(Mismatch(place, fault))


class Proof(NamedTuple):
    """A committed entry, its place on the ledger topic, and the id of the producer that wrote it."""

    place: str
    entry: Entry
    producer: int

    @property
    def flow(self) -> int | None:
        """What distinguishes its deliveries in an inbox: the producer of a replay; None for the live flow.

        A subject with a key is replayed in the live flow: by its routers, in turn with new records.
        """
        return None if self.entry.replay is None or self.entry.row_tags else self.producer


def contracts(cluster: Cluster) -> Contracts:
    """All that the epochs on Kafka say."""
    batches = Reread(cluster, [names.CONTRACT_TOPIC])
    return said_by(epoch.decode(record.value or b"") for batch in batches for record in plain_records(batch))


def said_by(epochs: Iterable[Epoch]) -> Contracts:
    """All that these epochs say."""
    grants: dict[tuple[int, str], GrantTerms] = {}
    subjects: dict[tuple[int, str], Subject] = {}
    schemas: dict[int, str] = {}
    for published in epochs:
        schemas |= published.schemas
        subjects |= {(published.number, subject.id): subject for subject in published.contract.subjects}
        grants |= {(published.number, grant.id): _given(published, grant) for grant in published.contract.grants}
    return Contracts(grants, subjects, schemas)


def _given(published: Epoch, grant: Grant) -> GrantTerms:
    subject, fields = published.contract.subject(grant.subject), published.given(grant)
    hides = fields is not None and any(name not in fields or name in grant.masks for name in subject.key)
    return GrantTerms(grant, subject, fields is None, hides)


def proofs(cluster: Cluster, report: Report) -> Iterator[Proof]:
    """Every committed entry, in order per partition of the ledger."""
    for batch in Reread(cluster, [names.LEDGER_TOPIC]):
        report(names.LEDGER_TOPIC, batch.header.records)
        for record in plain_records(batch):
            entry = decode(wire.unpack(record.value or b"")[1])
            if not entry.is_adoption:
                yield Proof(f"{batch.topic}/{batch.partition}/{record.offset}", entry, batch.header.producer_id)
