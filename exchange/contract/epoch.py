"""A numbered, published contract as the bytes of a record of `exchange.contract`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from pydantic import ValidationError

from exchange.contract.model import AcceptedGap, Epoch
from exchange.errors import CorruptionError
from exchange.gap import Gap


class EpochError(CorruptionError):
    """A record of `exchange.contract` is not an epoch."""

    code = "epoch"
    remedy = "restore the topic from a backup: only `exchange apply` may write it"


def encode(epoch: Epoch) -> bytes:
    """The epoch's JSON, by the names of the contract file."""
    return epoch.model_dump_json(by_alias=True).encode()


def decode(value: bytes) -> Epoch:
    """The epoch of that JSON; EpochError where it is none."""
    try:
        return Epoch.model_validate_json(value)
    except ValidationError as error:
        message = f"a record of exchange.contract is not an epoch: {error.error_count()} mistakes"
        remedy = "see that every router and connector has the version of the exchange that published it"
        raise EpochError(message, remedy=remedy) from error


def key(number: int) -> bytes:
    """The record's key.

    >>> key(7)
    b'7'
    """
    return str(number).encode()


def takes_over(epoch: Epoch, current: Epoch | None) -> bool:
    """Whether an epoch read after `current` replaces it.

    The log's order decides: of two epochs with one number, published by two administrators at once,
    the first one counts.
    """
    return current is None or epoch.number > current.number


def same_content(one: Epoch, other: Epoch) -> bool:
    """Whether two epochs say the same, whenever they were published and under whatever number."""
    # Who has left follows from the epochs before, the topics' ids from the cluster.
    plain = {"number": 1, "time": other.time, "former": None, "topic_ids": {}}
    return encode(one.model_copy(update=plain)) == encode(other.model_copy(update=plain))


def accepts(epoch: Epoch, gap: Gap) -> bool:
    """Whether a person accepted the gap, with all that it has become since."""
    return any(
        replace(accepted.gap, next=gap.next) == gap and accepted.gap.next >= gap.next
        for accepted in epoch.accepted_gaps
    )


def accepting(epoch: Epoch, gaps: Iterable[Gap], operator: str, reason: str, now: datetime) -> Epoch:
    """The next epoch, in which these gaps are accepted, and all else is as it is."""
    new = tuple(AcceptedGap(gap=gap, operator=operator, reason=reason, time=now) for gap in gaps)
    update = {"number": epoch.number + 1, "time": now, "accepted_gaps": (*epoch.accepted_gaps, *new)}
    return epoch.model_copy(update=update)


def without(epoch: Epoch, grant_id: str, now: datetime) -> Epoch:
    """The next epoch, in which there is no such grant, and all else is as it is."""
    grants = tuple(grant for grant in epoch.contract.grants if grant.id != grant_id)
    views = {grant: schema_id for grant, schema_id in epoch.views.items() if grant != grant_id}
    used = {epoch.ledger, *views.values(), *(schema_id for ids in epoch.writers.values() for schema_id in ids)}
    return epoch.model_copy(
        update={
            "number": epoch.number + 1,
            "time": now,
            "contract": epoch.contract.model_copy(update={"grants": grants}),
            "views": views,
            "pinned": {grant: names for grant, names in epoch.pinned.items() if grant != grant_id},
            "schemas": {schema_id: text for schema_id, text in epoch.schemas.items() if schema_id in used},
        }
    )
