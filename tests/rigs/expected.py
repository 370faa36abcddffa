"""What must have come of a town's rows, computed from the source topics and the grants alone.

Shares no code with router, ledger or connectors: records are read by `plain`, filters and
projections are written again in the slowest and plainest way.
"""

from __future__ import annotations

import hashlib
import multiprocessing
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import repeat
from operator import ne
from typing import Any

from tests.rigs import plain
from tests.rigs.plain import Kafka, Read, Registry
from tests.rigs.town import ENTITY, GRANTS, OWNER, PARTITIONS, PSEUDONYM_KEY, READERS, row

KINDS = ("lost", "twice", "unauthorised", "disordered", "not_in_ledger")
Delivered = tuple[bytes | None, Any, tuple[tuple[str, bytes | None], ...]]


@dataclass
class Verdict:
    """How many deliveries were wrong, and in which way, per grant; what else was found."""

    lost: Counter[str] = field(default_factory=Counter)
    twice: Counter[str] = field(default_factory=Counter)
    unauthorised: Counter[str] = field(default_factory=Counter)
    disordered: Counter[str] = field(default_factory=Counter)
    not_in_ledger: Counter[str] = field(default_factory=Counter)
    published: int = 0
    delivered: int = 0

    def faults(self) -> dict[str, dict[str, int]]:
        """Everything that is not as it has to be; empty where all is well."""
        return {kind: dict(counts) for kind in KINDS if (counts := +getattr(self, kind))}

    def add(self, other: Verdict) -> None:
        """Take in the verdict on another part."""
        for kind in KINDS:
            getattr(self, kind).update(getattr(other, kind))
        self.published += other.published
        self.delivered += other.delivered


def check(kafka: Kafka, rows: dict[str, int]) -> Verdict:
    """Compare everything on Kafka with what the first `rows[subject]` rows and the grants make due."""
    verdict = Verdict()
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        for part in pool.map(check_subject, repeat(kafka), rows, rows.values()):
            verdict.add(part)
    _check_no_other_inbox(kafka, verdict)
    return verdict


def check_subject(kafka: Kafka, subject: str, rows: int) -> Verdict:
    """The verdict on one subject: its source topic, its grants' inboxes, its ledger entries."""
    registry = Registry(kafka)
    source = _by_partition(kafka, f"subject.{OWNER}.{subject}")
    decoded = [[registry.decode(record.value)[1] for record in records if record.value] for records in source]
    verdict = Verdict(published=sum(map(len, decoded)))
    _check_source(subject, rows, source, decoded, verdict)
    for grant_id, grant in GRANTS.items():
        if grant["subject"] == subject:
            _check_grant(kafka, registry, grant_id, source, decoded, verdict)
    ledger: list[list[dict[str, Any]]] = [[] for _ in range(PARTITIONS)]
    for entry in plain.entries(kafka, registry):
        if entry["topic"] == f"subject.{OWNER}.{subject}":
            ledger[entry["partition"]].append(entry)
    for entries, records, values in zip(ledger, source, decoded, strict=True):
        _check_ledger(entries, subject, records, values, verdict)
    return verdict


def due(grant: dict[str, Any], record: Read, decoded: dict[str, Any]) -> Delivered | None:
    """What the grant's reader gets for a source record; None where it gets nothing."""
    if not _is_due(grant, decoded):
        return None
    if grant["fields"] == "all":
        return record.key, record.value, record.headers
    entity, masks = ENTITY[grant["subject"]], grant.get("masks", {})
    given = {name: masked(masks.get(name), decoded[name], grant["reader"]) for name in grant["fields"]}
    # The entity's field is given in clear or as pseudonym, or not at all: its key is what the field gives.
    key = given[entity].encode() if entity in given else None
    return key, tuple(given.items()), ()


def _is_due(grant: dict[str, Any], decoded: dict[str, Any]) -> bool:
    where = grant.get("where", {})
    return "from" not in grant and all(_holds(decoded[name], asked) for name, asked in where.items())


def masked(mask: Any, value: Any, reader: str) -> Any:
    """What the reader gets for a value that is masked so."""
    if mask is None:
        return value
    if mask == "pseudonym":
        own = hashlib.blake2b(f"{reader}/0".encode(), digest_size=32, key=PSEUDONYM_KEY, person=b"exchange.reader\0")
        person = hashlib.blake2b(value.encode(), digest_size=16, key=own.digest(), person=b"exchange.pseudo\0")
        return person.hexdigest()
    low, *inner = mask["bounds"]
    if value < low:
        return f"<{low}"
    for high in inner:
        if value < high:
            return f"{low}..{high}"
        low = high
    return f">={low}"


def _holds(value: Any, asked: dict[str, Any]) -> bool:
    [(name, operand)] = asked.items()
    if name == "prefix":
        return str(value).startswith(operand)
    if name == "in":
        return value in operand
    assert name == "ge"
    return bool(value >= operand)


def _by_partition(kafka: Kafka, topic: str) -> list[list[Read]]:
    found: list[list[Read]] = [[] for _ in range(PARTITIONS)]
    for record in plain.read(kafka, topic):
        found[record.partition].append(record)
    return found


def _check_source(
    subject: str, rows: int, source: list[list[Read]], decoded: list[list[dict[str, Any]]], verdict: Verdict
) -> None:
    """The topic holds the database's rows, each once, with the entity as key."""
    found = Counter(tuple(record.values()) for records in decoded for record in records)
    wanted = Counter(row(subject, serial) for serial in range(rows))
    name = f"rows of {subject}"
    verdict.lost[name] += (wanted - found).total()
    verdict.twice[name] += (found - wanted).total()
    for records, values in zip(source, decoded, strict=True):
        for record, value in zip(records, values, strict=True):
            verdict.unauthorised[name] += record.key != value[ENTITY[subject]].encode()


def _check_grant(
    kafka: Kafka,
    registry: Registry,
    grant_id: str,
    source: list[list[Read]],
    decoded: list[list[dict[str, Any]]],
    verdict: Verdict,
) -> None:
    grant = GRANTS[grant_id]
    inbox = f"inbox.{grant['reader']}.{OWNER}.{grant['subject']}"
    found = _by_partition(kafka, inbox)
    for partition, records in enumerate(source):
        pairs = zip(records, decoded[partition], strict=True)
        wanted = [given for record, value in pairs if (given := due(grant, record, value)) is not None]
        got = [_delivered(registry, grant, inbox, record) for record in found[partition]]
        verdict.delivered += len(got)
        if got == wanted:
            continue
        due_count, got_count = Counter(wanted), Counter(got)
        verdict.lost[grant_id] += (due_count - got_count).total()
        for delivered, times in (got_count - due_count).items():
            (verdict.twice if delivered in due_count else verdict.unauthorised)[grant_id] += times
        verdict.disordered[grant_id] += due_count == got_count


def _delivered(registry: Registry, grant: dict[str, Any], inbox: str, record: Read) -> Delivered:
    if grant["fields"] == "all":
        return record.key, record.value, record.headers
    assert record.value is not None
    schema_id, value = registry.decode(record.value)
    assert schema_id in registry.by_subject[f"{inbox}-value"], "a projected record with a foreign schema"
    return record.key, tuple(value.items()), record.headers


def _check_ledger(
    entries: Sequence[dict[str, Any]],
    subject: str,
    records: list[Read],
    decoded: list[dict[str, Any]],
    verdict: Verdict,
) -> None:
    """Every source record is in one committed entry, with the outcome that is due for every grant in force."""
    place = {record.offset: at for at, record in enumerate(records)}
    covered = [offset for entry in entries for offset in plain.offsets(entry)]
    if covered != list(place):
        verdict.not_in_ledger[f"entries of {subject}"] += (Counter(covered) ^ Counter(list(place))).total() or 1
        return
    for entry in entries:
        outcomes = {grant: outcome for outcome in entry["outcomes"] for grant in outcome["grants"]}
        rows = [place[offset] for offset in plain.offsets(entry)]
        for grant_id, grant in GRANTS.items():
            if grant["subject"] != subject or "from" in grant:
                continue
            given = [_is_due(grant, decoded[at]) for at in rows]
            said = [why is None for why in plain.withheld(entry, outcomes[grant_id])]
            verdict.not_in_ledger[grant_id] += sum(map(ne, said, given))
        if entry["partition"] == 0:
            leaves = [leaf(records[at].key, records[at].value) for at in rows]
            verdict.not_in_ledger[f"digests of {subject}"] += entry["root"] != root(leaves)


def _check_no_other_inbox(kafka: Kafka, verdict: Verdict) -> None:
    """Topics of readers hold nothing but what a grant in force puts there."""
    granted = {f"inbox.{g['reader']}.{OWNER}.{g['subject']}" for g in GRANTS.values() if "from" not in g}
    for topic in plain.topics(kafka):
        if topic.startswith(tuple(f"inbox.{reader}." for reader in READERS)) and topic not in granted:
            verdict.unauthorised[topic] += sum(1 for _ in plain.read(kafka, topic))


def leaf(key: bytes | None, value: bytes | None) -> bytes:
    """The digest of one record, as the ledger's definition has it."""
    sized = (b"\xff" * 4 if part is None else len(part).to_bytes(4, "big") + part for part in (key, value))
    return hashlib.blake2b(b"\0" + b"".join(sized), digest_size=32).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """The Merkle root by the recursion of RFC 6962, section 2.1."""
    if len(leaves) < 2:
        return leaves[0] if leaves else hashlib.blake2b(b"", digest_size=32).digest()
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.blake2b(b"\1" + root(leaves[:half]) + root(leaves[half:]), digest_size=32).digest()
