"""Encodes and decodes epochs, the records of `exchange.contract`, and derives the next epoch from the last."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from pydantic import ValidationError

from exchange.contract.model import AcceptedGap, Contract, Epoch, Grant, Resync
from exchange.contract.period import city_day
from exchange.errors import CorruptionError
from exchange.gap import Gap


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
    # Former departments and ended grants follow from earlier epochs, and topic ids from the cluster: not compared.
    plain = {"number": 1, "time": other.time, "former": None, "ended": (), "topic_ids": {}}
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


def ended_after(last: Epoch | None, contract: Contract) -> tuple[str, ...]:
    """The grants that were in some epoch up to `last` and are not in this contract."""
    before = {*last.ended, *(grant.id for grant in last.contract.grants)} if last else set()
    return tuple(sorted(before.difference(grant.id for grant in contract.grants)))


def resyncs_after(last: Epoch | None, epoch: Epoch) -> tuple[Resync, ...]:
    """What is to be made true when `epoch` follows `last`: what its grants give otherwise than before.

    That of a grant which had ended, too: rows changed and went meanwhile, and its reader's connector may have deleted
    all. What was asked for before stays, as long as there is its grant.
    """
    if last is None:
        return ()
    before = {(grant.id, grant.reader, grant.subject): grant for grant in last.contract.grants}
    keyed = {subject.id for subject in last.contract.subjects if subject.key}
    kept = {grant.id for grant in epoch.contract.grants}
    changed = []
    for grant in epoch.contract.grants:
        was = before.get((grant.id, grant.reader, grant.subject))
        if grant.subject not in keyed or (was is None and grant.id not in last.ended):
            continue
        if was is None or was.until < city_day(epoch.time) <= grant.until:
            back = f"{grant.id}.epoch-{epoch.number}"
            changed.append(Resync(id=back, grant=grant.id, again=True, gives=True, ended=True))
            continue
        looks = (last.given(was), was.masks, grant.id in last.views) != (
            epoch.given(grant),
            grant.masks,
            grant.id in epoch.views,
        )
        if looks or was.where != grant.where:
            changed.append(Resync(id=f"{grant.id}.epoch-{epoch.number}", grant=grant.id, again=looks))
    return (*(resync for resync in last.resyncs if resync.grant in kept), *changed)


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
            "ended": tuple(sorted({*epoch.ended, grant_id})),
            "views": views,
            "pinned": {grant: names for grant, names in epoch.pinned.items() if grant != grant_id},
            "schemas": {schema_id: text for schema_id, text in epoch.schemas.items() if schema_id in used},
        }
    )
