"""The grants of a subject in force, as few distinct views: readers with the same view share its work."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from exchange.contract.key import hidden
from exchange.contract.model import Contract, Department, Epoch, Grant, Subject
from exchange.contract.period import FOR_EVER, end_of, in_force, midnight
from exchange.contract.terms import Mask, Where

FROM_EVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class GrantedView:
    """What one or more grants give: `fields` (None: whole records) of the records for which `where` holds.

    `schema_id` is the schema of projected values, None for whole records. `keeps_key`: a delivered record may carry the
    source record's key, because the entity's field is given in clear. `key_is_pseudonym`: that field is given as a
    pseudonym. `reader` is the reader and its rotation, whose pseudonyms these are; None for a view without any.
    `handles_for`: the reader that knows rows by handles, because it does not get the subject's key in clear.
    """

    fields: tuple[str, ...] | None
    where: Where
    masks: Mapping[str, Mask]
    schema_id: int | None
    keeps_key: bool
    key_is_pseudonym: bool
    reader: tuple[str, int] | None
    handles_for: str | None
    grants: tuple[Grant, ...]


@dataclass(frozen=True)
class SubjectViews:
    """What may be done with a subject's records from `valid_from` to before `valid_until`, when a grant begins or ends.

    `allowed`: the schema ids that records may carry, newest last.
    """

    subject_id: str
    allowed: tuple[int, ...]
    views: tuple[GrantedView, ...]
    valid_from: datetime
    valid_until: datetime


def subject_views(epoch: Epoch, subject_id: str, now: datetime) -> SubjectViews:
    """The views of a subject at `now` (with time zone); raises KeyError if the epoch has no such subject.

    Grants share a view if their fields, conditions, masks and schema are equal, in whatever order they are written.
    Pseudonyms and handles belong to one reader, so a view with them has one reader; a grant with a quota has a view of
    its own.
    Periods are whole days in Asia/Shanghai.
    """
    subject = epoch.contract.subject(subject_id)
    valid_from, valid_until = _validity(epoch.contract, subject_id, now)
    shared: dict[tuple[object, ...], list[Grant]] = {}
    for grant in in_force(epoch.contract, now):
        if grant.subject == subject_id:
            shared.setdefault(_key(grant, epoch, subject), []).append(grant)
    return SubjectViews(
        subject_id=subject_id,
        allowed=tuple(epoch.writers.get(subject_id, ())),
        views=tuple(_view(grants, epoch, subject) for grants in shared.values()),
        valid_from=valid_from,
        valid_until=valid_until,
    )


def _key(grant: Grant, epoch: Epoch, subject: Subject) -> tuple[object, ...]:
    fields = epoch.given(grant)
    said = grant.model_dump(mode="json", include={"where", "masks"})
    return (
        None if fields is None else frozenset(fields),
        json.dumps(said, sort_keys=True),
        None if fields is None else epoch.views[grant.id],
        _reader(grant, epoch.contract.departments),
        _handles_for(grant, fields, subject),
        grant.id if grant.quota.is_limited else None,
    )


def _reader(grant: Grant, departments: Iterable[Department]) -> tuple[str, int] | None:
    """The reader and rotation whose pseudonyms the grant gives; None if it gives none."""
    if not any(mask.kind == "pseudonym" for mask in grant.masks.values()):
        return None
    return grant.reader, next((d.pseudonym_rotation for d in departments if d.id == grant.reader), 0)


def _handles_for(grant: Grant, fields: tuple[str, ...] | None, subject: Subject) -> str | None:
    return grant.reader if fields is not None and hidden(subject, grant, fields) else None


def _view(grants: list[Grant], epoch: Epoch, subject: Subject) -> GrantedView:
    first, entity_field = grants[0], subject.entity.field
    fields = epoch.given(first)
    given = fields is None or entity_field in fields
    mask = first.masks.get(entity_field)
    return GrantedView(
        fields=fields,
        where=first.where,
        masks=first.masks,
        schema_id=None if fields is None else epoch.views[first.id],
        keeps_key=given and mask is None,
        key_is_pseudonym=given and mask is not None and mask.kind == "pseudonym",
        reader=_reader(first, epoch.contract.departments),
        handles_for=_handles_for(first, fields, subject),
        grants=tuple(grants),
    )


def _validity(contract: Contract, subject_id: str, now: datetime) -> tuple[datetime, datetime]:
    """When a grant of the subject last began or ended, and when one will do so next."""
    changes = [
        change
        for grant in contract.grants
        if grant.subject == subject_id
        for change in (midnight(grant.from_), end_of(grant.until))
    ]
    return (
        max((change for change in changes if change <= now), default=FROM_EVER),
        min((change for change in changes if change > now), default=FOR_EVER),
    )
