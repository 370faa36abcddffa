"""Says in words what changes for readers between two epochs: who gains or loses which fields of which records."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from exchange.contract.model import Epoch, Grant
from exchange.contract.period import in_force
from exchange.contract.terms import Condition, Mask, Part, Where


@dataclass(frozen=True)
class AccessChange:
    """What changes for a grant's reader; `texts` say all of it, each continuing a sentence that begins with the reader.

    `gains` and `loses` are fields. `changed` maps the path of every other changed attribute of the grant (`where`,
    `masks.amount`, `purpose.code`) to its values before and after, as the contract file writes them; None: absent.
    """

    reader: str
    subject: str
    grant: str
    texts: tuple[str, ...]
    gains: tuple[str, ...] = ()
    loses: tuple[str, ...] = ()
    changed: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)


def access_of_readers(old: Epoch | None, new: Epoch) -> list[AccessChange]:
    """Every grant that was added, changed or removed, sorted by reader and subject."""
    before = {(g.id, g.reader, g.subject): g for g in old.contract.grants} if old else {}
    after = {(g.id, g.reader, g.subject): g for g in new.contract.grants}
    changes = [_gone(g, _fields(old, g)) for key, g in before.items() if key not in after and old]
    for key, grant in after.items():
        was = before.get(key)
        if was is None or old is None:
            changes.append(_new(grant, _fields(new, grant)))
        elif (told := _Change(old, was, new, grant).told) is not None:
            changes.append(told)
    return sorted(changes, key=lambda c: (c.reader, c.subject, c.grant))


def endings(old: Epoch, new: Epoch, now: datetime) -> Iterator[str]:
    """Say of each reader that has a subject now, and has not under the new contract, what becomes of its rows."""
    given = {(grant.reader, grant.subject) for grant in in_force(new.contract, now)}
    after = {grant.id: grant for grant in new.contract.grants}
    for was in in_force(old.contract, now):
        if (was.reader, was.subject) not in given:
            deletes = after.get(was.id, was).deletes(old.contract.subject(was.subject))
            what = "deletes its rows" if deletes else "keeps its rows"
            yield f"grant {was.id} ends: the connector of {was.reader} {what} of {was.subject}"


def _fields(epoch: Epoch, grant: Grant) -> tuple[str, ...]:
    return grant.named(epoch.pinned.get(grant.id, ()))


def _new(grant: Grant, fields: tuple[str, ...]) -> AccessChange:
    parts = [f"gains {_count(fields)} of {grant.subject}: {', '.join(fields)}"]
    parts += [f"where {_conditions(grant.where)}"] if grant.where else []
    parts += [f"{name} masked by {_mask(mask)}" for name, mask in grant.masks.items()]
    parts += [_quota(name, limit) for name, limit in grant.quota if limit is not None]
    parts += [f"{_period(grant)}, for {grant.purpose.code}"]
    return AccessChange(grant.reader, grant.subject, grant.id, ("; ".join(parts),), gains=fields)


def _gone(grant: Grant, fields: tuple[str, ...]) -> AccessChange:
    text = f"loses {grant.subject}: all {_count(fields)} that this grant gave"
    return AccessChange(grant.reader, grant.subject, grant.id, (text,), loses=fields)


class _Change:
    """Compares one grant in two epochs; `told` is None if nothing changed."""

    def __init__(self, before: Epoch, old: Grant, after: Epoch, new: Grant) -> None:
        self._old, self._new = old, new
        self._changed = {k: (a, b) for k, a, b in _attributes(_plain(old), _plain(new))}
        was, now = _fields(before, old), _fields(after, new)
        self._gains = tuple(name for name in now if name not in was)
        self._loses = tuple(name for name in was if name not in now)
        self._whole = (before.given(old) is None, after.given(new) is None)
        self._reordered = not self._gains and not self._loses and was != now
        texts = tuple(self._texts())
        self.told = (
            AccessChange(new.reader, new.subject, new.id, texts, self._gains, self._loses, self._changed)
            if texts
            else None
        )

    def _texts(self) -> Iterator[str]:
        subject = self._new.subject
        for verb, names in (("gains", self._gains), ("loses", self._loses)):
            if names:
                yield f"{verb} {_count(names)} of {subject}: {', '.join(names)}"
        if self._reordered:
            yield f"gets the fields of {subject} in another order"
        if self._whole[0] != self._whole[1]:
            how = "as they are, headers included" if self._whole[1] else "in a schema of their own, without headers"
            yield f"gets records of {subject} {how}"
        for name in dict.fromkeys((*self._old.masks, *self._new.masks)):
            was, now = (_seen(grant.masks.get(name)) for grant in (self._old, self._new))
            if was != now and name not in (*self._gains, *self._loses):
                yield f"sees {name} of {subject} {now} (before: {was})"
            elif was != now and name in self._gains:
                yield f"sees {name} of {subject} {now}"
        yield from self._scope(subject)

    def _scope(self, subject: str) -> Iterator[str]:
        old, new = self._old, self._new
        if "where" in self._changed:
            yield f"gets {_records(new)} of {subject} (before: {_records(old)})"
        if (old.from_, old.until) != (new.from_, new.until):
            yield f"gets {subject} {_period(new)} (before: {_period(old)})"
        if old.purpose.code != new.purpose.code:
            yield f"gets {subject} for {new.purpose.code} (before: for {old.purpose.code})"
        for path, (was, now) in self._changed.items():
            part, _, name = path.partition(".")
            if part == "quota":
                yield f"of {subject} {_quota(name, now)} (before: {_quota(name, was)})"
            elif part not in ("fields", "where", "masks", "from", "until") and path != "purpose.code":
                yield f"gets {subject} with {path} {_short(now)} (before: {_short(was)})"


def _plain(grant: Grant) -> dict[str, Any]:
    return grant.model_dump(mode="json", by_alias=True)


def _attributes(old: Mapping[str, Any], new: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(path, before, after) of every attribute that differs; a grant's conditions count as one attribute."""
    for name in dict.fromkeys((*old, *new)):
        was, now = old.get(name), new.get(name)
        if was == now:
            continue
        if not path and name in ("masks", "purpose", "quota"):
            yield from _attributes(was or {}, now or {}, f"{name}.")
        else:
            yield f"{path}{name}", was, now


def _count(fields: tuple[str, ...]) -> str:
    return f"{len(fields)} field{'s' if len(fields) != 1 else ''}"


def _period(grant: Grant) -> str:
    return f"from {grant.from_} until {grant.until}"


def _records(grant: Grant) -> str:
    return f"records where {_conditions(grant.where)}" if grant.where else "all records"


def _seen(mask: Mask | None) -> str:
    return f"masked by {_mask(mask)}" if mask else "in clear"


def _quota(name: str, limit: int | None) -> str:
    """One limit of a quota in words.

    >>> _quota("records_per_day", 5)
    'at most 5 records per day'
    """
    what = name.replace("_", " ")
    return f"any number of {what}" if limit is None else f"at most {limit} {what}"


def _mask(mask: Mask) -> str:
    return f"{mask.kind} ({', '.join(details)})" if (details := list(_details(mask))) else mask.kind


def _details(mask: Mask) -> Iterator[str]:
    if mask.kind == "partial":
        yield from (f"first {mask.first}", f"last {mask.last}")
    yield from map(str, mask.bounds)


def _conditions(where: Where) -> str:
    return " and ".join(text for name, part in where.items() for text in _condition(name, part))


def _condition(name: str, part: Part) -> Iterator[str]:
    if isinstance(part, Condition):
        yield from (f"{name} {operator} {_value(value)}" for operator, value in part.operators().items())
    elif isinstance(part, tuple):
        joint = " or " if name == "any" else " and "
        yield f"({joint.join(_conditions(where) for where in part)})"
    else:
        yield f"not ({_conditions(part)})"


def _value(value: object) -> str:
    """The value as the contract file writes it; in quotes if it could be read as something else.

    >>> _value(("4401", 2024, None, "null", "a, b", "x or year ge 1"))
    '4401, 2024, null, "null", "a, b", "x or year ge 1"'
    """
    if isinstance(value, tuple):
        return ", ".join(map(_value, value))
    if isinstance(value, str) and value not in ("null", "true", "false") and re.fullmatch(r"[\w.:+-]+", value):
        return value
    return json.dumps(value, ensure_ascii=False)


def _short(value: object) -> str:
    return "nothing" if value is None else str(value)
