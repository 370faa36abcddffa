"""The steps that make the broker guard the contract: access rules and byte rates; pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from exchange.bus.client_quotas import KEYS, ByteRates
from exchange.bus.rule import Rule
from exchange.contract.model import Contract
from exchange.plan.access import owned, principals, wanted_access
from exchange.plan.changes import AllowAccess, RemoveAccess, SetRates
from exchange.plan.rates import wanted_rates


def access_changes(
    contract: Contract, former: Collection[str], access: Collection[Rule]
) -> Iterator[AllowAccess | RemoveAccess]:
    """A change for each principal that lacks rules of the contract or has rules that the contract does not give.

    `former`: departments of earlier epochs; their rules are removed. Rules of others stay (see `owned`).
    """
    wanted, present = wanted_access(contract), frozenset(access)
    ours = principals([*(d.id for d in contract.departments), *former])
    for who, rules in _by_principal(wanted - present):
        yield AllowAccess(who, rules)
    for who, rules in _by_principal(rule for rule in present - wanted if owned(rule, ours)):
        yield RemoveAccess(who, rules)


def rate_changes(contract: Contract, former: Collection[str], rates: Mapping[str, ByteRates]) -> Iterator[SetRates]:
    """A change for each department, present or former, whose byte rates differ from the contract."""
    wanted = wanted_rates(contract)
    for department in [*wanted, *sorted(set(former) - set(wanted))]:
        before, after = rates.get(department, {}), wanted.get(department, {})
        changed = [key for key in KEYS if before.get(key) != after.get(key)]
        if changed:
            yield SetRates(department, {k: before.get(k) for k in changed}, {k: after.get(k) for k in changed})


def _by_principal(rules: Iterable[Rule]) -> Iterator[tuple[str, tuple[Rule, ...]]]:
    by: dict[str, list[Rule]] = {}
    for rule in sorted(rules):
        by.setdefault(rule.principal.removeprefix("User:"), []).append(rule)
    return ((who, tuple(each)) for who, each in by.items())
