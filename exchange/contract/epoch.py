"""Encodes and decodes epochs, the records of `exchange.contract`, and derives the next epoch from the last."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta

from pydantic import ValidationError

from exchange.contract.model import AcceptedGap, Contract, Epoch, Grant, Resync
from exchange.contract.period import city_day, in_force
from exchange.errors import CorruptionError
from exchange.gap import Gap
from exchange.names import inbox_topic


class EpochError(CorruptionError):
    """A record of `exchange.contract` is not an epoch."""

    code = "epoch"
    remedy = "restore the topic from a backup: only `exchange apply` may write it"


def encode(epoch: Epoch) -> bytes:
    """The epoch as JSON, with the names that the contract file uses."""
    return epoch.model_dump_json(by_alias=True).encode()


def decode(value: bytes) -> Epoch:
    """The epoch in this JSON; raises EpochError if it is not one."""
    try:
        return Epoch.model_validate_json(value)
    except ValidationError as error:
        message = f"a record of exchange.contract is not an epoch: {error.error_count()} mistakes"
        remedy = "see that every router and connector has the version of the exchange that published it"
        raise EpochError(message, remedy=remedy) from error


def key(number: int) -> bytes:
    """The record key of the epoch with this number.

    >>> key(7)
    b'7'
    """
    return str(number).encode()


def takes_over(epoch: Epoch, current: Epoch | None) -> bool:
    """Whether `epoch`, read after `current`, replaces it.

    The order of the log decides: if two administrators publish epochs with the same number at once, the
    first one counts.
    """
    return current is None or epoch.number > current.number


def same_content(one: Epoch, other: Epoch) -> bool:
    """Whether two epochs say the same, whatever their numbers and times of publication."""
    # Former departments and inboxes follow from earlier epochs, and topic ids from the cluster: not compared.
    plain = {"number": 1, "time": other.time, "former": None, "inboxes": (), "topic_ids": {}}
    return encode(one.model_copy(update=plain)) == encode(other.model_copy(update=plain))


def alone(epoch: Epoch, *grants: Grant) -> Epoch:
    """The epoch as if its contract had only these grants."""
    return epoch.model_copy(update={"contract": epoch.contract.model_copy(update={"grants": grants})})


def accepts(epoch: Epoch, gap: Gap) -> bool:
    """Whether a person accepted this gap, as large as it has become since."""
    return any(
        replace(accepted.gap, next=gap.next) == gap and accepted.gap.next >= gap.next
        for accepted in epoch.accepted_gaps
    )


def accepting(epoch: Epoch, gaps: Iterable[Gap], operator: str, reason: str, now: datetime) -> Epoch:
    """The next epoch: these gaps are accepted, everything else stays."""
    new = tuple(AcceptedGap(gap=gap, operator=operator, reason=reason, time=now) for gap in gaps)
    update = {"number": epoch.number + 1, "time": now, "accepted_gaps": (*epoch.accepted_gaps, *new)}
    return epoch.model_copy(update=update)


def resyncing(epoch: Epoch, resync: Resync, now: datetime) -> Epoch | None:
    """The next epoch: this is made true too, everything else stays; None if the epoch has it already."""
    if any(known.id == resync.id for known in epoch.resyncs):
        return None
    return epoch.model_copy(update={"number": epoch.number + 1, "time": now, "resyncs": (*epoch.resyncs, resync)})


def inboxes_after(last: Epoch | None, now: datetime) -> tuple[str, ...]:
    """The inboxes of all grants that had begun when an epoch follows `last`, also of grants that are long gone."""
    if last is None:
        return ()
    begun = (grant for grant in last.contract.grants if grant.from_ <= city_day(now))
    return tuple(sorted({*last.inboxes, *(inbox_topic(grant.reader, grant.subject) for grant in begun)}))


def resyncs_after(last: Epoch | None, epoch: Epoch) -> tuple[Resync, ...]:
    """What is to be made true when `epoch`, with its `inboxes`, follows `last`: where grants and readers' rows differ.

    What was asked for before stays, as long as there is its grant, or one that follows it at once.
    """
    if last is None:
        return ()
    keyed = {subject.id for subject in last.contract.subjects if subject.key}
    resyncs = list(_kept(last, epoch))
    today = city_day(epoch.time)
    waiting = {grant.id for grant in last.contract.grants if grant.from_ > today}
    for grant in epoch.contract.grants:
        need = _need(last, epoch, grant, today) if grant.subject in keyed else None
        asked = [(one.again, one.gives) for one in resyncs if one.grant == grant.id and grant.id in waiting]
        if need is not None and need not in asked:
            id_ = f"{grant.id}.epoch-{epoch.number}"
            resyncs.append(Resync(id=id_, grant=grant.id, again=need[0], gives=need[1]))
    return tuple(resyncs)


def _kept(last: Epoch, epoch: Epoch) -> Iterator[Resync]:
    """What was asked for before: routers may not have done it yet, and readers hold rows, whatever the grant's name."""
    grants = {grant.id for grant in epoch.contract.grants}
    were, are = _by_id(last.contract), _by_place(epoch.contract, epoch.time)
    for resync in last.resyncs:
        if resync.grant in grants:
            yield resync
        elif (was := were.get(resync.grant)) is not None and (now := are.get((was.reader, was.subject))) is not None:
            yield resync.model_copy(update={"grant": now.id})


def resyncs_due(epoch: Epoch, now: datetime) -> Iterator[tuple[Resync, Grant]]:
    """What is to be made true, with the grant in force by which it is: its own, or one that follows it."""
    day, named, in_force_now = city_day(now), _by_id(epoch.contract), _by_place(epoch.contract, now)
    for resync in epoch.resyncs:
        of = named.get(resync.grant)
        if of is not None and of.from_ <= day and (grant := in_force_now.get((of.reader, of.subject))) is not None:
            yield resync, grant


def _by_id(contract: Contract) -> dict[str, Grant]:
    return {grant.id: grant for grant in contract.grants}


def _by_place(contract: Contract, now: datetime) -> dict[tuple[str, str], Grant]:
    """The grants in force by reader and subject, of which there is one at most."""
    return {(grant.reader, grant.subject): grant for grant in in_force(contract, now)}


def _need(last: Epoch, epoch: Epoch, grant: Grant, today: date) -> tuple[bool, bool] | None:
    """What the reader needs when this grant begins or goes on: the rows that it holds `again`, and those that it lacks.

    None if it holds what the grant gives. A reader that had the subject, and then did not have it for a time, missed
    changes and deletions, or has deleted its rows: it needs all.
    """
    if grant.until < today:
        return None
    # What the reader has until then: on the day before a grant that is to begin, or now, under the epoch before.
    of, day = (epoch, grant.from_ - timedelta(days=1)) if grant.from_ > today else (last, today)
    for was in of.contract.grants:
        if (was.reader, was.subject) != (grant.reader, grant.subject) or not was.from_ <= day <= was.until:
            continue
        looks = (of.given(was), was.masks, was.id in of.views)
        if looks != (epoch.given(grant), grant.masks, grant.id in epoch.views):
            return True, False
        return (False, False) if was.where != grant.where else None
    return (True, True) if inbox_topic(grant.reader, grant.subject) in epoch.inboxes else None


def without(epoch: Epoch, grant_id: str, now: datetime) -> Epoch:
    """The next epoch: this grant is gone, everything else stays."""
    grants = tuple(grant for grant in epoch.contract.grants if grant.id != grant_id)
    views = {grant: schema_id for grant, schema_id in epoch.views.items() if grant != grant_id}
    used = {epoch.ledger, *views.values(), *(schema_id for ids in epoch.writers.values() for schema_id in ids)}
    return epoch.model_copy(
        update={
            "number": epoch.number + 1,
            "time": now,
            "contract": epoch.contract.model_copy(update={"grants": grants}),
            "inboxes": inboxes_after(epoch, now),
            "views": views,
            "pinned": {grant: names for grant, names in epoch.pinned.items() if grant != grant_id},
            "schemas": {schema_id: text for schema_id, text in epoch.schemas.items() if schema_id in used},
        }
    )
