"""Compares readers' inboxes with what entries say was delivered and withdrawn.

A row that a reader knows by a handle takes about 110 bytes of memory for that reader alone.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from exchange.audit.holders import NOBODY, RowHolders
from exchange.audit.proofs import GrantTerms, Proof, Verification
from exchange.audit.reread import PlainRecord, Report, Reread, header_of, plain_records
from exchange.audit.row_tags import RowTags
from exchange.bus import Cluster
from exchange.errors import RecordError
from exchange.ledger.merkle import digest_leaf, merkle_root
from exchange.names import ROW_HEADER, Partition

Flow = tuple[Partition, int | None]
"""An inbox partition and a flow of deliveries into it, see `Proof.flow`."""


class Delivery(NamedTuple):
    """What one entry says that one inbox partition received, and under which grant; `has_rows`: it tells rows apart."""

    place: str
    records: int
    digest: bytes
    given: GrantTerms
    has_rows: bool


Waiting = Mapping[Flow, deque[Delivery]]


def deliveries(proofs: Iterable[Proof], grants: Mapping[tuple[int, str], GrantTerms], found: Verification) -> Waiting:
    """What each inbox partition must contain, in order, per flow."""
    inboxes: defaultdict[Flow, deque[Delivery]] = defaultdict(deque)
    for proof in proofs:
        place, entry = proof.place, proof.entry
        for outcome, id_ in ((each, id_) for each in entry.outcomes for id_ in each.grants):
            given = grants.get((entry.epoch, id_))
            if given is None:
                found.expect(False, place, f"epoch {entry.epoch} has no grant {id_}")
                continue
            records = outcome.delivered + sum(withdrawn.records for withdrawn in outcome.withdrawn)
            delivery = Delivery(f"{place} grant {id_}", records, outcome.digest, given, bool(entry.row_tags))
            inboxes[(given.inbox, entry.partition), proof.flow].append(delivery)
    return inboxes


def verify_inboxes(
    cluster: Cluster,
    waiting: Waiting,
    folded: Mapping[Partition, RowHolders],
    row_tags: RowTags,
    found: Verification,
    report: Report,
) -> None:
    """Cut the records of each flow in an inbox into deliveries by count, and compare each one's digest.

    The rows that are left in an inbox after all its records must be those that it holds according to the entries.
    """
    replays = {producer for _, producer in waiting}
    reread = Reread(cluster, {topic for (topic, _), _ in waiting})
    contents = {
        (topic, partition): Contents((topic, partition), one.given, folded[one.given.source, partition], row_tags)
        for ((topic, partition), _), some in waiting.items()
        for one in some
        if one.has_rows
    }
    flows: dict[Flow, Cut] = {}
    for batch in reread:
        report(batch.topic, batch.header.records)
        place = (batch.topic, batch.partition)
        if reread.starts[place]:
            continue
        producer = batch.header.producer_id
        flow = (place, producer if producer in replays else None)
        cut = flows.setdefault(flow, Cut(place, waiting.get(flow, deque()), found))
        for record in plain_records(batch):
            delivery = cut.take(record)
            if delivery is not None and delivery.has_rows:
                contents[place].take(record, delivery.given)
    for flow in sorted(waiting.keys() | flows.keys(), key=lambda flow: (flow[0], flow[1] or 0)):
        place, _ = flow
        if reread.starts.get(place, 0):
            found.unverifiable += len(waiting.get(flow, ()))
        else:
            flows.get(flow, Cut(place, waiting.get(flow, deque()), found)).end()
    for place, inside in sorted(contents.items(), key=lambda one: one[0]):
        if not reread.starts.get(place, 0):
            inside.compare(found)


class Cut:
    """One flow of an inbox partition: the deliveries that wait for its next records."""

    def __init__(self, place: Partition, waiting: deque[Delivery], found: Verification) -> None:
        self._place = f"{place[0]}/{place[1]}"
        self._waiting = waiting
        self._found = found
        self._leaves: list[bytes] = []

    def take(self, record: PlainRecord) -> Delivery | None:
        """Take the next record; return the delivery that it belongs to."""
        while self._waiting and self._waiting[0].records <= len(self._leaves):
            self._verify(self._waiting.popleft())
        delivery = self._waiting[0] if self._waiting else None
        value = record.value
        if value is None and delivery is not None and delivery.has_rows and header_of(record, ROW_HEADER) is not None:
            value = record.headers  # a withdrawal has the row's name or handle in place of a value
        self._leaves.append(digest_leaf(record.key, value))
        return delivery

    def end(self) -> None:
        """Verify what is left, as there are no more records."""
        while self._waiting:
            self._verify(self._waiting.popleft())
        fault = f"{len(self._leaves)} records that no entry vouches for"
        self._found.expect(not self._leaves, self._place, fault)

    def _verify(self, delivery: Delivery) -> None:
        """Compare a delivery with the next leaves, and remove them."""
        leaves = self._leaves[: delivery.records]
        del self._leaves[: delivery.records]
        self._found.deliveries += len(leaves)
        fault = f"{self._place} does not hold what was delivered"
        self._found.expect(merkle_root(leaves) == delivery.digest, delivery.place, fault)


class Contents:
    """The rows that one inbox partition has after the records taken so far.

    If the reader knows rows by their key, they are marked in the `RowHolders` of their source partition.
    """

    def __init__(self, place: Partition, given: GrantTerms, rows_held: RowHolders, row_tags: RowTags) -> None:
        self._place = f"{place[0]}/{place[1]}"
        self._reader = given.grant.reader
        self._rows_held = rows_held
        self._mark = frozenset({f"{self._place}/found"})
        self._row_tags = row_tags
        self._handles: set[bytes] = set()
        self._faults = Counter[str]()

    def take(self, record: PlainRecord, given: GrantTerms) -> None:
        """Take the next record, of a subject with a key."""
        lives, handle = record.value is not None, header_of(record, ROW_HEADER)
        if given.hides_key:
            if handle is None:
                self._faults["records have no handle"] += 1
                return
            self._faults["withdrawals are of rows that it did not have"] += not lives and handle not in self._handles
            (self._handles.add if lives else self._handles.discard)(handle)
            return
        try:
            row_tag = self._row_tags.of(given.subject, record)
        except (RecordError, KeyError):
            self._faults["records do not name their row"] += 1
            return
        rows = [row for row in self._rows_held.rows(row_tag) if lives or self._mark <= self._rows_held.of(row)]
        self._faults["withdrawals are of rows that it did not have"] += not rows
        for row in rows:
            self._rows_held.move(row, *((self._mark, NOBODY) if lives else (NOBODY, self._mark)))

    def compare(self, found: Verification) -> None:
        """Note the rows that are here but not in the entries, or the other way round, and all other faults."""
        by_handle = 0
        for row_tag, holders in self._rows_held:
            lives, is_due = self._mark <= holders, self._reader in holders
            if is_due and not lives and self._handles:
                lives = self._row_tags.handle(self._reader, row_tag) in self._handles
                by_handle += lives
            self._faults["rows are missing that it should hold"] += is_due and not lives
            self._faults["rows live on that it should not hold"] += lives and not is_due
        self._faults["rows live on that it should not hold"] += len(self._handles) - by_handle
        for fault, count in self._faults.items():
            found.expect(not count, self._place, f"{count} {fault}")
