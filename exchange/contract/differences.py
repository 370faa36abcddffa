"""What changes for people between two contracts, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from exchange.contract.model import Condition, Contract, Department, Grant, Mask, Model, Part, Subject, Where

ITEM = TypeVar("ITEM", Department, Subject, Grant)


def differences(old: Contract | None, new: Contract) -> list[str]:
    """Departments, subjects and grants that are added, removed or changed, in the new contract's order."""
    before = old or Contract(version=1, departments=(), subjects=())
    return [
        *_items("department", before.departments, new.departments),
        *_items("subject", before.subjects, new.subjects),
        *_items("grant", before.grants, new.grants),
    ]


def _items(kind: str, old: Sequence[ITEM], new: Sequence[ITEM]) -> Iterator[str]:
    before, after = {item.id: item for item in old}, {item.id: item for item in new}
    for name, item in after.items():
        if name not in before:
            yield f"{kind} {name} is added{_grant_text(item)}"
        elif _plain(before[name]) != _plain(item):
            yield f"{kind} {name}: {'; '.join(_changes(before[name], item))}"
    for name, item in before.items():
        if name not in after:
            yield f"{kind} {name} is removed{_withdrawal(item)}"


def _plain(item: Model) -> str:
    return item.model_dump_json(by_alias=True)


def _grant_text(item: Department | Subject | Grant) -> str:
    if not isinstance(item, Grant):
        return ""
    what = "all fields" if item.fields == "all" else f"{len(item.fields)} fields ({', '.join(item.fields)})"
    where = f" where {_conditions(item.where)}" if item.where else ""
    masked = "".join(f", {name} masked by {_mask(mask)}" for name, mask in item.masks.items())
    period = f"from {item.from_} until {item.until}"
    return f": {item.reader} gets {what} of {item.subject}{where}{masked}, {period}, for {item.purpose.code}"


def _withdrawal(item: Department | Subject | Grant) -> str:
    return f": {item.reader} no longer gets {item.subject}" if isinstance(item, Grant) else ""


def _changes(old: Model, new: Model) -> Iterator[str]:
    for name, field in type(new).model_fields.items():
        was, now = getattr(old, name), getattr(new, name)
        if was == now:
            continue
        if isinstance(old, Grant) and isinstance(new, Grant) and name == "fields":
            yield from _fields(old, new)
        elif isinstance(old, Grant) and isinstance(new, Grant) and name == "where":
            yield f"where {_conditions(old.where) or 'nothing'} → {_conditions(new.where) or 'nothing'}"
        elif isinstance(old, Grant) and isinstance(new, Grant) and name == "masks":
            yield from _masks(old, new)
        elif isinstance(now, Model):
            yield from (f"{name}.{text}" for text in _changes(was, now))
        else:
            yield f"{field.alias or name} {_short(was)} → {_short(now)}"


def _fields(old: Grant, new: Grant) -> Iterator[str]:
    if isinstance(new.fields, str):
        yield "gains every field: the whole record"
    elif isinstance(old.fields, str):
        yield f"loses all fields but {', '.join(new.fields)}"
    else:
        gained = [name for name in new.fields if name not in old.fields]
        lost = [name for name in old.fields if name not in new.fields]
        for verb, changed in (("gains", gained), ("loses", lost)):
            if changed:
                yield f"{verb} {len(changed)} field{'s' if len(changed) > 1 else ''}: {', '.join(changed)}"
        if not gained and not lost:
            yield "names its fields in another order"


def _masks(old: Grant, new: Grant) -> Iterator[str]:
    for name, mask in new.masks.items():
        if name not in old.masks:
            yield f"gains a mask: {name} by {_mask(mask)}"
        elif old.masks[name] != mask:
            yield f"mask of {name} {_mask(old.masks[name])} → {_mask(mask)}"
    for name in old.masks:
        if name not in new.masks:
            yield f"loses the mask of {name}"


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
        yield from (f"{name} {operator} {value}" for operator, value in part.operators().items())
    elif isinstance(part, tuple):
        joint = " or " if name == "any" else " and "
        yield f"({joint.join(_conditions(where) for where in part)})"
    else:
        yield f"not ({_conditions(part)})"


def _short(value: object) -> str:
    return ", ".join(map(str, value)) or "nothing" if isinstance(value, tuple) else str(value)
