"""Says in words how departments and subjects differ between two contracts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from exchange.contract.base import Model
from exchange.contract.model import Contract, Department, Subject

ITEM = TypeVar("ITEM", Department, Subject)


def differences(old: Contract | None, new: Contract) -> list[str]:
    """Departments and subjects that were added, changed or removed: in the new contract's order, removed ones last.

    Changes of grants are described for their readers, by `grant_changes`.
    """
    before = old or Contract(version=1, departments=(), subjects=())
    rates = [f"contract: {text}" for text in _changes(before, new, ("rates",))]
    return [
        *rates,
        *_items("department", before.departments, new.departments),
        *_items("subject", before.subjects, new.subjects),
    ]


def _items(kind: str, old: Sequence[ITEM], new: Sequence[ITEM]) -> Iterator[str]:
    before, after = {item.id: item for item in old}, {item.id: item for item in new}
    for name, item in after.items():
        if name not in before:
            yield f"{kind} {name} is added"
        elif before[name] != item:
            yield f"{kind} {name}: {'; '.join(_changes(before[name], item, tuple(type(item).model_fields)))}"
    for name in before:
        if name not in after:
            yield f"{kind} {name} is removed"


def _changes(old: Model, new: Model, names: Sequence[str]) -> Iterator[str]:
    for name in names:
        was, now = getattr(old, name), getattr(new, name)
        if was == now:
            continue
        if isinstance(now, Model):
            yield from (f"{name}.{text}" for text in _changes(was, now, tuple(type(now).model_fields)))
        else:
            yield f"{type(new).model_fields[name].alias or name} {_short(was)} → {_short(now)}"


def _short(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "nothing"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {of}" for key, of in value.items()) or "nothing"
    return "nothing" if value is None else str(value)
