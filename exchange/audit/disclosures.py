"""Who received whose records, and from whom they were taken back, according to the ledger's database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection, and_, select

from exchange import names
from exchange.audit.fates import mask
from exchange.audit.questions import Selection
from exchange.ledger import tables
from exchange.ledger.body import decode
from exchange.ledger.entry import Entry, Outcome, delivered_mask, rows_of
from exchange.ledger.store import LedgerContradictionError, LedgerStore
from exchange.ledger.tag_index import tag_prefix

_e = tables.entries.c
_FOLLOW_FIRST = "bring the contract's epochs in with `exchange ledger follow --until-idle`"


@dataclass(frozen=True)
class Disclosure:
    """Records about one person that one grant's reader got in one router transaction, and why it was allowed to.

    `verdict` is delivered, or withdrawn: then the reader lost the rows that it held, for the `reason` left or deleted.
    If `state` is not committed, only readers of uncommitted records could have seen them. `entry` is the place of the
    proof on the ledger topic; `offsets` are those of the source records; `replay` is the id of the replay that
    delivered them, None for the live flow.
    """

    time_ms: int
    subject: str
    reader: str
    grant: str
    purpose: str
    basis: str
    text: str
    fields: str | list[str]
    epoch: int
    state: str
    verdict: str
    reason: str
    records: int
    partition: int
    offsets: list[int]
    entry: str
    replay: str | None


def disclosures(
    store: LedgerStore, tag: bytes, selection: Selection, *, include_aborted: bool = False
) -> Iterator[Disclosure]:
    """Who received records of the entity with this tag, and who lost rows of it, in the order of the entries.

    Only committed entries count; with `include_aborted`, aborted and open ones count too.
    """
    with store.snapshot() as connection:
        yield from _disclosures(connection, tag, selection, include_aborted)


def _disclosures(
    connection: Connection, tag: bytes, selection: Selection, include_aborted: bool
) -> Iterator[Disclosure]:
    grants = {(grant.epoch, grant.id): grant for grant in connection.execute(select(tables.grants))}
    for place, state, body in _entries_with(connection, tag, selection, include_aborted):
        entry = decode(body)
        rows = rows_of(entry, tag)
        for outcome, verdict, reason, which in _fates(entry):
            concerned = rows[which[rows]].tolist()
            for id_ in outcome.grants if concerned else ():
                grant = grants.get((entry.epoch, id_))
                if grant is None:
                    raise LedgerContradictionError(f"epoch {entry.epoch} has no grant {id_}", remedy=_FOLLOW_FIRST)
                if selection.reader not in (None, grant.reader) or selection.grant not in (None, grant.id):
                    continue
                yield Disclosure(
                    time_ms=entry.time_ms,
                    subject=grant.subject,
                    reader=grant.reader,
                    grant=grant.id,
                    purpose=grant.purpose,
                    basis=grant.basis,
                    text=grant.text,
                    fields=json.loads(grant.fields),
                    epoch=entry.epoch,
                    state=state,
                    verdict=verdict,
                    reason=reason,
                    records=len(concerned),
                    partition=entry.partition,
                    offsets=[entry.offset(row) for row in concerned],
                    entry=place,
                    replay=entry.replay,
                )


def _fates(entry: Entry) -> Iterator[tuple[Outcome, str, str, np.ndarray]]:
    """What readers noticed: outcome, verdict, reason, and which records (bool[count])."""
    for outcome in entry.outcomes:
        yield outcome, "delivered", "", delivered_mask(entry, outcome)
        for withdrawn in outcome.withdrawn:
            yield outcome, "withdrawn", withdrawn.reason, mask(entry, withdrawn)


def _entries_with(
    connection: Connection, tag: bytes, selection: Selection, include_aborted: bool
) -> Iterator[tuple[str, str, bytes]]:
    """Place on the ledger topic, state and body of each entry that may contain the tag, oldest first."""
    t, generation = tables.tags.c, tables.generations.c
    indexed = tables.generations.join(
        tables.tags, and_(t.generation == generation.generation, t.tag == tag_prefix(tag))
    ).join(tables.entries, _e.id == t.entry_id)
    query = select(_e.ledger_partition, _e.ledger_offset, _e.state, _e.body).select_from(indexed)
    query = query.where(*selection.of_entries()).order_by(_e.time_ms, _e.id)
    if not include_aborted:
        query = query.where(_e.state == "committed")
    for partition, offset, state, body in connection.execute(query, execution_options={"yield_per": 64}):
        yield f"{names.LEDGER_TOPIC}/{partition}/{offset}", state, body
