"""Who holds which rows, computed from committed entries alone, and compared with what the routers remember.

A held row takes about 110 bytes of memory, whatever the number of its holders, and as much again while it is compared
with the holdings topic. If its entity was deleted and has rows again, it takes up to 450.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Set
from typing import NamedTuple

import numpy as np

from exchange import names
from exchange.audit.fates import STAYING, mask
from exchange.audit.proofs import GrantTerms, Proof, Verification
from exchange.audit.reread import Report, Reread, plain_records
from exchange.audit.row_tags import ENTITY
from exchange.bus import Cluster
from exchange.ledger.entry import TAG_BYTES, Entry, delivered_mask
from exchange.names import Partition

Holders = frozenset[str]
NOBODY: Holders = frozenset()
_NUMBER_BYTES = 4


class RowHolders:
    """The rows of one source partition by tag, and who holds each.

    It finds all rows of an entity only if the entity is in `ended` (first halves of row tags): these lose all at once.
    """

    def __init__(self, ended: Set[bytes]) -> None:
        self._numbers: dict[bytes, int] = {}
        self._sets = [NOBODY]
        self._known = {NOBODY: 0}
        self._moves: dict[tuple[int, Holders, Holders], int] = {}
        self._ended = ended
        self._of: defaultdict[bytes, set[bytes]] = defaultdict(set)

    def rows(self, row_tag: bytes) -> list[bytes]:
        """The rows that a tag is about: one row, or all held rows of an entity."""
        return list(self._of.get(row_tag[:8], ())) if row_tag[8:] == ENTITY else [row_tag]

    def of(self, row_tag: bytes) -> Holders:
        """Who holds the row."""
        return self._sets[self._numbers.get(row_tag, 0)]

    def move(self, row_tag: bytes, given: Holders, taken: Holders) -> None:
        """Give the row to some, and take it from others."""
        number = self._numbers.get(row_tag, 0)
        now = self._moves.get((number, given, taken))
        if now is None:
            holders = (self._sets[number] | given) - taken
            now = self._known.setdefault(holders, len(self._sets))
            if now == len(self._sets):
                self._sets.append(holders)
            self._moves[number, given, taken] = now
        if now:
            self._numbers[row_tag] = now
        else:
            self._numbers.pop(row_tag, None)
        entity = row_tag[:8]
        if entity in self._ended and now:
            self._of[entity].add(row_tag)
        elif entity in self._ended:
            self._of[entity].discard(row_tag)
            if not self._of[entity]:
                del self._of[entity]

    def __len__(self) -> int:
        return len(self._numbers)

    def __iter__(self) -> Iterator[tuple[bytes, Holders]]:
        return ((row_tag, self._sets[number]) for row_tag, number in self._numbers.items())


class _Fate(NamedTuple):
    """Readers that get a record's row, readers that lose it, and readers that must not have had it."""

    given: Holders
    taken: Holders
    without: Holders


def fold(
    proofs: Iterable[Proof], grants: Mapping[tuple[int, str], GrantTerms], found: Verification
) -> dict[Partition, RowHolders]:
    """Which readers hold the rows after these entries, by source partition.

    A reader holds the rows that it got, under any grant, and has not lost since.
    """
    of_place: defaultdict[Partition, list[Proof]] = defaultdict(list)
    for proof in proofs:
        if proof.entry.row_tags:
            of_place[proof.entry.topic, proof.entry.partition].append(proof)
    folded: dict[Partition, RowHolders] = {}
    for place, some in of_place.items():
        holders = folded[place] = RowHolders(_ended(proof.entry for proof in some))
        for proof in some:
            for fault, count in _take(holders, proof.entry, grants).items():
                found.expect(False, proof.place, f"{count} {fault}")
    return folded


def _ended(entries: Iterable[Entry]) -> set[bytes]:
    """The entities (first halves of row tags) all of whose rows some record concerns."""
    tags = (np.frombuffer(entry.row_tags, np.uint64).reshape(-1, 2) for entry in entries)
    return {entity.tobytes() for of_entry in tags for entity in of_entry[of_entry[:, 1] == 0, 0]}


def _take(rows_held: RowHolders, entry: Entry, grants: Mapping[tuple[int, str], GrantTerms]) -> Counter[str]:
    """Move rows as the entry says; return how many of its records are impossible, by the fault."""
    faults = Counter[str]()
    fates, of_record = _fates(entry, grants)
    for at, fate in enumerate(of_record):
        given, taken, without = fates[fate]
        if not (given or taken or without):
            continue
        row_tag = entry.row_tags[TAG_BYTES * at : TAG_BYTES * (at + 1)]
        rows = rows_held.rows(row_tag)
        held = NOBODY.union(*(rows_held.of(row) for row in rows))
        if not taken <= held:
            faults["records withdraw rows from readers that did not hold them"] += 1
        if without & held:
            faults["records are withheld from readers that hold their rows, which are not withdrawn"] += 1
        for row in rows:
            rows_held.move(row, given, taken)
    return faults


def _fates(entry: Entry, grants: Mapping[tuple[int, str], GrantTerms]) -> tuple[list[_Fate], list[int]]:
    """The fates that occur in the entry, and which of them each record met."""
    delivered, withdrawn, withheld = 1, 2, 3
    codes = np.zeros((len(entry.outcomes) + 1, entry.count), np.uint8)
    for row, outcome in zip(codes, entry.outcomes, strict=False):
        row[delivered_mask(entry, outcome)] = delivered
        for gone in outcome.withdrawn:
            row[mask(entry, gone)] = withdrawn
        for part in outcome.withheld:
            if part.reason not in STAYING:
                row[mask(entry, part)] = withheld
    occurring, of_record = np.unique(codes, axis=1, return_inverse=True)

    def holders(column: np.ndarray, code: int) -> Holders:
        ids = [id_ for outcome, at in zip(entry.outcomes, column, strict=False) if at == code for id_ in outcome.grants]
        known = (grants.get((entry.epoch, id_)) for id_ in ids)
        return frozenset(each.grant.reader for each in known if each is not None)

    fates = [_Fate(*(holders(column, code) for code in (delivered, withdrawn, withheld))) for column in occurring.T]
    return fates, of_record.reshape(-1).tolist()


def compare(cluster: Cluster, folded: Mapping[Partition, RowHolders], found: Verification, report: Report) -> None:
    """Compare with the holdings topics, in which the routers remember who holds which rows.

    A partition to which nothing was ever written is not compared: its router begins with what the ledger says.
    """
    remembered: defaultdict[Partition, Remembered] = defaultdict(Remembered)
    for batch in Reread(cluster, {names.holdings_topic(names.subject_of(topic)) for topic, _ in folded}):
        report(batch.topic, batch.header.records)
        for record in plain_records(batch):
            remembered[batch.topic, batch.partition].take(record.key or b"", record.value)
    due = {
        (names.holdings_topic(names.subject_of(topic)), partition): one for (topic, partition), one in folded.items()
    }
    found.rows = sum(len(holders) for holders in folded.values())
    for place, there in sorted(remembered.items()):
        wrong = there.wrong(due.get(place, RowHolders(frozenset())))
        found.expect(not wrong, f"{place[0]}/{place[1]}", f"{wrong} rows have other holders there than in the entries")


class Remembered:
    """One partition of a holdings topic: a row's tag → the number of a set of readers; the number → these readers."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}
        self._sets: dict[int, Holders] = {}

    def take(self, key: bytes, value: bytes | None) -> None:
        """Take the next record; other records, such as the id of the ledger's key, say nothing of rows."""
        if len(key) == _NUMBER_BYTES:
            self._sets[int.from_bytes(key, "little")] = frozenset(json.loads(value or b"[]"))
        elif len(key) == TAG_BYTES and value is None:
            self._numbers.pop(key, None)
        elif len(key) == TAG_BYTES and value is not None:
            self._numbers[key] = int.from_bytes(value, "little")

    def wrong(self, due: RowHolders) -> int:
        """How many rows have other holders here than in `due`."""
        same = unknown = 0
        for row_tag, holders in due:
            number = self._numbers.get(row_tag)
            unknown += number is None
            same += number is not None and self._sets.get(number) == holders
        return len(self._numbers) + unknown - same
