"""Selects a part of a plan, and refuses it if it needs a step that is left out; pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from exchange import names
from exchange.contract.model import Epoch
from exchange.plan.access import wanted_access
from exchange.plan.changes import (
    PARTS,
    Change,
    CreateTopic,
    DeleteTopic,
    Part,
    PublishEpoch,
    RefusedChange,
    RemoveAccess,
)
from exchange.plan.plan import ORDER, Plan
from exchange.plan.topics import wanted


def select(plan: Plan, parts: Collection[Part], epoch: Epoch | None) -> Plan:
    """The plan with only the changes of these parts (all if none is named).

    A change that needs a change of another part first is refused. `epoch` is the one in force: what it still uses
    is not taken away before the next one is published.
    """
    if not parts:
        return plan
    kept = [change for change in plan.changes if change.part in parts]
    left_out = [change for change in plan.changes if change.part not in parts]
    # An epoch depends on every other part: if any part is refused, no epoch was planned.
    refusals = [r for r in plan.refusals if r.part in parts or "grants" in parts]
    refusals += (refusal for change in kept for refusal in _refusals(change, left_out, epoch, parts))
    told = [f"left out: {_counted(left_out)}"] if left_out else []
    return replace(plan, changes=kept, refusals=refusals, notices=[*plan.notices, *told], whole=False)


def _refusals(
    change: Change, left_out: Sequence[Change], epoch: Epoch | None, parts: Collection[Part]
) -> Iterator[RefusedChange]:
    needed = [other for other in left_out if _needs(change, other, epoch)]
    if needed:
        whole = [part for part in PARTS if part in {*parts, *(other.part for other in needed)}]
        message = f"needs to be done first: {_counted(needed) if len(needed) > 1 else needed[0].text}"
        remedy = f"apply `{' '.join(f'--only {part}' for part in whole)}`, or all of it"
        yield RefusedChange(change.part, change.target, message, remedy)


def _counted(changes: Sequence[Change]) -> str:
    counts = Counter(change.part for change in changes)
    return ", ".join(f"{n} change{'s' if n > 1 else ''} of {part}" for part, n in counts.items())


def _needs(change: Change, other: Change, epoch: Epoch | None) -> bool:
    """Whether `change` must wait until `other` is done."""
    if isinstance(change, PublishEpoch):
        return ORDER.index(type(other)) < ORDER.index(PublishEpoch)
    if change.part == "schemas":
        return isinstance(other, CreateTopic) and other.target == names.SCHEMAS_TOPIC
    if epoch is None or not isinstance(other, PublishEpoch):
        return False
    if isinstance(change, RemoveAccess):
        return not wanted_access(epoch.contract).isdisjoint(change.rules)
    return isinstance(change, DeleteTopic) and change.target in wanted(epoch.contract)
