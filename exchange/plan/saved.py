"""A plan in a file: fingerprints of what it was made from, and the steps it will take.

The file decides only whether a plan is carried out, never what is done: the steps are computed again and
must equal the saved ones.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from exchange.bus.topic import Topic
from exchange.contract import epoch as epochs
from exchange.contract.base import Model
from exchange.contract.load import Loaded
from exchange.errors import ConfigError
from exchange.plan.access import OWN_TOPICS, principals, reaches
from exchange.plan.changes import Part
from exchange.plan.plan import Actual, Plan
from exchange.plan.topics import PREFIXES

MAX_BYTES = 16 << 20
TopicName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Basis = Literal["cluster", "contract", "epoch", "topics", "schemas", "access rules", "byte rates"]


class SavedPlanError(ConfigError):
    """A file is not a plan that this version saved, or the plan in it is out of date."""

    code = "saved-plan"
    remedy = "look at `exchange plan` again, and apply what it says now"


class SavedPlan(Model):
    """The content of the file; `changes` are the steps in words."""

    format: Literal["exchange-plan-1"] = "exchange-plan-1"
    made: datetime
    only: tuple[Part, ...]
    delete: tuple[TopicName, ...]
    basis: Mapping[Basis, Digest]
    changes: tuple[str, ...]


def fingerprints(loaded: Loaded, actual: Actual) -> dict[Basis, str]:
    """A digest of each thing that a plan is made from; call it before planning, which changes the registry."""
    ours = principals([*(d.id for d in loaded.contract.departments), *actual.departments])
    topics = {n: _topic(t) for n, t in actual.topics.items() if n.startswith(PREFIXES) or n in OWN_TOPICS}
    access = None if actual.access is None else sorted(vars(r).items() for r in actual.access if reaches(r, ours))
    schemas = {subject: schema.text for subject, schema in loaded.schemas.items()}
    return {
        "cluster": _digest(actual.id),
        "contract": _digest([loaded.contract.model_dump(mode="json", by_alias=True), schemas]),
        "epoch": _digest(epochs.encode(actual.epoch).decode() if actual.epoch else None),
        "topics": _digest(topics),
        "schemas": _digest(actual.registry.facts()),
        "access rules": _digest(access),
        "byte rates": _digest({user: dict(rates) for user, rates in actual.rates.items()}),
    }


def encode(
    plan: Plan, basis: Mapping[Basis, str], only: Collection[Part], delete: Collection[str], now: datetime
) -> bytes:
    """The plan as a file's content."""
    saved = SavedPlan(made=now, only=tuple(only), delete=tuple(delete), basis=basis, changes=texts(plan))
    return saved.model_dump_json(indent=2).encode() + b"\n"


def decode(data: bytes) -> SavedPlan:
    """The plan in a file's content; raises SavedPlanError, which quotes nothing of it, if it is not one."""
    remedy = "make one with `exchange plan --out FILE`, with the version that applies it"
    if len(data) > MAX_BYTES:
        raise SavedPlanError(f"the file is larger than {MAX_BYTES >> 20} MiB: it is not a saved plan", remedy=remedy)
    try:
        return SavedPlan.model_validate_json(data)
    except ValidationError as error:
        raise SavedPlanError(f"is not a saved plan: {error.error_count()} mistakes", remedy=remedy) from None


def require_same(reviewed: Mapping[Basis, str], steps: Collection[str], basis: Mapping[Basis, str], plan: Plan) -> None:
    """Raise SavedPlanError, naming what has changed, unless what was reviewed is what would be done now."""
    changed = [name for name, digest in basis.items() if reviewed.get(name) != digest]
    if changed or tuple(steps) != texts(plan):
        what = ", ".join(changed) or "the steps, by another version of the exchange"
        message = f"since this plan was made something has changed: {what}"
        raise SavedPlanError(message)


def texts(plan: Plan) -> tuple[str, ...]:
    """The plan's steps in words; plans with equal words do the same."""
    return tuple(change.text for change in plan.changes)


def _topic(topic: Topic) -> list[Any]:
    return [topic.partitions, topic.replication, dict(topic.configs)]


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=list).encode()).hexdigest()
