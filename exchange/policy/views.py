"""The grants of a subject that are in force, as few distinct views: readers with the same view share its work."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from exchange.contract.model import Condition, Contract, Epoch, Grant
from exchange.contract.period import CITY_TIME, in_force

FOR_EVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class GrantedView:
    """What one or more grants give: `fields` (None: whole records), of the records where `where` holds.

    `schema_id` is that of projected values, None for whole records. Only where `keeps_key`, because
    the entity's field is given in clear, may a delivered record carry the source record's key.
    """

    fields: tuple[str, ...] | None
    where: Mapping[str, Condition]
    schema_id: int | None
    keeps_key: bool
    grants: tuple[Grant, ...]


@dataclass(frozen=True)
class SubjectPlan:
    """What may be done with a subject's records until `valid_until`, when a grant begins or ends.

    `allowed` are the schema ids that records may carry, newest last.
    """

    subject_id: str
    allowed: tuple[int, ...]
    views: tuple[GrantedView, ...]
    valid_until: datetime


def plan_subject(epoch: Epoch, subject_id: str, now: datetime) -> SubjectPlan:
    """The plan of a subject at `now` (with time zone); KeyError where the epoch has no such subject.

    Grants are equal in view where fields, conditions and schema are, in any order of writing.
    Periods are whole days in Asia/Shanghai.
    """
    subject = epoch.contract.subject(subject_id)
    shared: dict[tuple[object, ...], list[Grant]] = {}
    for grant in in_force(epoch.contract, now):
        if grant.subject == subject_id:
            shared.setdefault(_key(grant, epoch.views), []).append(grant)
    return SubjectPlan(
        subject_id=subject_id,
        allowed=tuple(epoch.writers.get(subject_id, ())),
        views=tuple(_view(grants, epoch.views, subject.entity.field) for grants in shared.values()),
        valid_until=_valid_until(epoch.contract, subject_id, now),
    )


def _key(grant: Grant, schema_ids: Mapping[str, int]) -> tuple[object, ...]:
    where = {name: condition.operators() for name, condition in grant.where.items()}
    fields = None if grant.fields == "all" else frozenset(grant.fields)
    return fields, json.dumps(where, sort_keys=True), None if fields is None else schema_ids[grant.id]


def _view(grants: list[Grant], schema_ids: Mapping[str, int], entity_field: str) -> GrantedView:
    first = grants[0]
    if first.fields == "all":
        return GrantedView(None, first.where, None, True, tuple(grants))
    keeps_key = entity_field in first.fields
    return GrantedView(first.fields, first.where, schema_ids[first.id], keeps_key, tuple(grants))


def _valid_until(contract: Contract, subject_id: str, now: datetime) -> datetime:
    changes = [
        midnight
        for grant in contract.grants
        if grant.subject == subject_id
        for midnight in (_midnight(grant.from_), _midnight(grant.until, after=True))
        if midnight > now
    ]
    return min(changes, default=FOR_EVER)


def _midnight(day: date, *, after: bool = False) -> datetime:
    """When the day begins in the city, or ends."""
    if after and day == date.max:
        return FOR_EVER
    return datetime.combine(day + timedelta(days=after), time.min, CITY_TIME)
