"""How a cluster differs from the contract, whether `apply` would correct it or not; pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from exchange.bus.rule import Rule, in_words
from exchange.contract.load import Loaded
from exchange.plan.access import owned, principals, reaches, wanted_access
from exchange.plan.changes import (
    AddPartitions,
    AllowAccess,
    AlterConfigs,
    Change,
    CreateTopic,
    Part,
    PublishEpoch,
    RegisterSchema,
    RemoveAccess,
    SetCompatibility,
    SetRates,
)
from exchange.plan.plan import NO_AUTHORIZER, Actual, Plan, too_many
from exchange.plan.topics import wanted

Kind = Literal["missing", "extra", "different"]
_MOVES_RECORDS = frozenset(("read", "write", "all"))


@dataclass(frozen=True)
class Finding:
    """One difference from the contract; `mended` says whether `exchange apply` would correct it."""

    part: Part
    kind: Kind
    target: str
    text: str
    mended: bool = False


@dataclass(frozen=True)
class Drift:
    """All findings, and notes: what is worth knowing but is not wrong."""

    findings: tuple[Finding, ...]
    notes: tuple[str, ...]


def find_drift(plan: Plan, loaded: Loaded, actual: Actual, accepted: Collection[str] = ()) -> Drift:
    """Find how the cluster differs; `plan` is the whole plan made from this contract and cluster.

    `accepted` are principals (such as `User:backup`) whose rules are in order although no contract asks for them.
    """
    ours = principals([*(d.id for d in loaded.contract.departments), *actual.departments])
    others = _others(loaded, actual, ours, accepted)
    findings = [
        *(finding for change in plan.changes for finding in _pending(change, actual)),
        *(Finding(refusal.part, "different", refusal.target, refusal.message) for refusal in plan.refusals),
        *_partitions(plan, loaded, actual),
        *_replicas(loaded, actual),
        *(Finding("topics", "extra", name, "is not in the contract") for name in plan.orphans),
        *(Finding("acls", "extra", who, text) for who, text in _by_principal(r for r in others if _weighs(r, ours))),
    ]
    notes = [f"{who} {text}" for who, text in _by_principal(r for r in others if not _weighs(r, ours))]
    notes += _settings(loaded, actual)
    notes += [NO_AUTHORIZER] if actual.access is None else []
    return Drift(tuple(findings), tuple(notes))


def _pending(change: Change, actual: Actual) -> Iterator[Finding]:
    match change:
        case CreateTopic(topic=topic):
            yield _mended(change, "missing", f"does not exist; the contract has it, with {topic.partitions} partitions")
        case AddPartitions(before=before, after=after):
            yield _mended(change, "different", f"has {before} partitions, the contract says {after}")
        case AlterConfigs(before=before, after=after):
            for name, value in after.items():
                text = f"has {name} {before.get(name) or 'by default'}, the contract says {value}"
                yield _mended(change, "different", text)
        case SetCompatibility(level=level):
            yield _mended(change, "missing", f"has no compatibility level; the contract needs {level.value}")
        case RegisterSchema():
            yield _mended(change, "missing", "does not have the contract's schema")
        case SetRates(before=before, after=after):
            parts = (f"{k} is {before.get(k) or 'unlimited'}, not {v or 'unlimited'}" for k, v in after.items())
            yield _mended(change, "different", ", ".join(parts))
        case AllowAccess(rules=rules):
            yield _mended(change, "missing", f"may not {in_words(rules)}")
        case RemoveAccess(rules=rules):
            yield _mended(change, "extra", f"may {in_words(rules)}, which the contract does not give")
        case PublishEpoch():
            epoch = actual.epoch
            text = f"epoch {epoch.number} is not the contract" if epoch else "no contract was ever published"
            yield _mended(change, "different" if epoch else "missing", text)


def _mended(change: Change, kind: Kind, text: str) -> Finding:
    return Finding(change.part, kind, change.target, text, mended=True)


def _partitions(plan: Plan, loaded: Loaded, actual: Actual) -> Iterator[Finding]:
    """Topics with more partitions than the contract asks for, unless the plan refuses the contract for that reason."""
    refused = {refusal.target for refusal in plan.refusals}
    for name, topic in wanted(loaded.contract, actual.topics).items():
        found = actual.topics.get(name)
        if found and name not in refused and (message := too_many(name, topic, found)):
            yield Finding("topics", "different", name, message)


def _replicas(loaded: Loaded, actual: Actual) -> Iterator[Finding]:
    for name, topic in wanted(loaded.contract).items():
        found = actual.topics.get(name)
        if found and found.replication != topic.replication:
            text = f"has {found.replication} replicas, the contract says {topic.replication}"
            yield Finding("topics", "different", name, text)


def _settings(loaded: Loaded, actual: Actual) -> Iterator[str]:
    """Topic settings that somebody set and about which the contract says nothing."""
    for name, topic in wanted(loaded.contract, actual.topics).items():
        found = actual.topics.get(name)
        others = sorted((found.configs if found else {}).keys() - topic.configs.keys())
        if found and others:
            yield f"topic {name} has {', '.join(f'{key}={found.configs[key]}' for key in others)}"


def _others(loaded: Loaded, actual: Actual, ours: Collection[str], accepted: Collection[str]) -> list[Rule]:
    """Rules that concern the exchange, that no contract asks for, and that `apply` leaves alone."""
    extra = sorted((actual.access or frozenset()) - wanted_access(loaded.contract))
    concern = (rule for rule in extra if reaches(rule, ours) or rule.principal in ours)
    return [rule for rule in concern if not owned(rule, ours) and rule.principal not in accepted]


def _weighs(rule: Rule, ours: Collection[str]) -> bool:
    """Whether a rule lets records go where the contract does not send them, or blocks those that it does send."""
    if rule.operation not in _MOVES_RECORDS or not reaches(rule, ours):
        return False
    return rule.permission == "allow" or rule.principal in (*ours, "User:*")


def _by_principal(rules: Iterable[Rule]) -> Iterator[tuple[str, str]]:
    for who, each in groupby(rules, lambda rule: rule.principal):
        yield who, f"may {in_words(list(each))}; this is not the contract's, and `apply` leaves it alone"
