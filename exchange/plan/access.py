"""Which principal may do what on Kafka under a contract: the access rules that its broker enforces."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Literal

from exchange import names
from exchange.bus.rule import Rule
from exchange.contract.model import Contract
from exchange.plan.topics import PREFIXES

Pattern = Literal["literal", "prefixed"]
OWN_TOPICS = (names.CONTRACT_TOPIC, names.LEDGER_TOPIC, names.QUOTA_TOPIC, names.SCHEMAS_TOPIC)
_SHARED = ("topic", "group", "transactional-id")  # kinds of which others on the cluster have their own


def principal(name: str) -> str:
    """Who logs in, as Kafka names it in its rules.

    >>> principal("tax")
    'User:tax'
    """
    return f"User:{name}"


def wanted_access(contract: Contract) -> frozenset[Rule]:
    """Every rule that the contract needs; what none of them allows, Kafka denies.

    A department may not read its own subjects' topics, nor write into an inbox: only the router does
    that. Prefixes end in a dot, so that `tax` has nothing of `taxation`.
    """
    rules: set[Rule] = set()
    for department in contract.departments:
        rules.update(_department(department.id))
    return frozenset(rules | set(_router()) | set(_ledger()))


def owned(rule: Rule, principals: Collection[str]) -> bool:
    """Whether a rule that no contract asks for is removed.

    It is if it allows the exchange's own principals (`principals`) more than their part, or anyone to touch what is
    the exchange's.

    Left alone, for `drift` to show: rules that deny, which an administrator made, such as after a theft;
    others' that move no records, such as a monitor's; others' for `_schemas`, which may be a registry's;
    others' for everything (`*`).
    """
    if rule.permission != "allow" or rule.principal == principal(names.ADMIN_PRINCIPAL):
        return False
    if rule.principal in principals:
        return reaches(rule, principals) or rule.kind not in _SHARED
    moves_records = rule.operation in ("read", "write", "all")
    return moves_records and _is_inside(rule, principals) and rule.name != names.SCHEMAS_TOPIC


def reaches(rule: Rule, principals: Collection[str]) -> bool:
    """Whether a rule touches something of the exchange, if only by a wildcard or a shorter prefix."""
    everything = rule.pattern == "literal" and rule.name == "*"
    spaces = (*_spaces(rule.kind, principals), names.SCHEMAS_TOPIC)
    covers = rule.pattern == "prefixed" and any(space.startswith(rule.name) for space in spaces)
    return _is_inside(rule, principals) or (rule.kind in _SHARED and (everything or covers))


def principals(departments: Iterable[str]) -> frozenset[str]:
    """The principals of these departments and of the exchange itself, but for the administrator's."""
    return frozenset(principal(name) for name in (*departments, names.ROUTER_PRINCIPAL, names.LEDGER_PRINCIPAL))


def _is_inside(rule: Rule, principals: Collection[str]) -> bool:
    return (rule.kind == "topic" and rule.name == names.SCHEMAS_TOPIC) or rule.name.startswith(
        _spaces(rule.kind, principals)
    )


def _spaces(kind: str, principals: Collection[str]) -> tuple[str, ...]:
    """How names of that kind begin that are the exchange's; nothing for kinds that are Kafka's own."""
    if kind == "topic":
        return (*PREFIXES, "exchange.")
    if kind in _SHARED:
        return ("exchange.", *(f"{p.removeprefix('User:')}." for p in principals))
    return ()


def _department(name: str) -> Iterator[Rule]:
    def rule(kind: str, resource: str, pattern: Pattern, operation: str) -> Rule:
        return Rule(principal(name), kind, resource, pattern, operation)

    yield rule("topic", names.subject_topic(f"{name}."), "prefixed", "write")
    yield rule("topic", names.inbox_topic(name, ""), "prefixed", "read")
    yield rule("topic", names.quarantine_topic(f"{name}."), "prefixed", "read")
    yield rule("topic", names.cursor_topic(name), "literal", "read")
    yield rule("topic", names.cursor_topic(name), "literal", "write")
    yield rule("topic", names.CONTRACT_TOPIC, "literal", "read")
    yield rule("topic", names.SCHEMAS_TOPIC, "literal", "read")
    # How much grants with a quota deliver, as open as the grants themselves are in the contract.
    yield rule("topic", names.QUOTA_TOPIC, "literal", "read")
    yield rule("group", f"{name}.", "prefixed", "read")
    yield rule("transactional-id", f"{name}.", "prefixed", "write")


def _router() -> Iterator[Rule]:
    def rule(kind: str, resource: str, pattern: Pattern, operation: str) -> Rule:
        return Rule(principal(names.ROUTER_PRINCIPAL), kind, resource, pattern, operation)

    yield rule("topic", "subject.", "prefixed", "read")
    yield rule("topic", names.CONTRACT_TOPIC, "literal", "read")
    yield rule("topic", names.SCHEMAS_TOPIC, "literal", "read")
    yield rule("topic", "inbox.", "prefixed", "write")
    yield rule("topic", "quarantine.", "prefixed", "write")
    yield rule("topic", names.LEDGER_TOPIC, "literal", "write")
    # A replay finds there what was delivered before.
    yield rule("topic", names.LEDGER_TOPIC, "literal", "read")
    yield rule("topic", names.QUOTA_TOPIC, "literal", "read")
    yield rule("topic", names.QUOTA_TOPIC, "literal", "write")
    # The live group has the bare name, a replay's is `exchange.router.replay.<id>`.
    yield rule("group", names.ROUTER_GROUP, "literal", "read")
    yield rule("group", f"{names.ROUTER_GROUP}.", "prefixed", "read")
    yield rule("transactional-id", f"{names.ROUTER_GROUP}.", "prefixed", "write")


def _ledger() -> Iterator[Rule]:
    for prefix in ("subject.", "inbox.", "quarantine."):
        yield Rule(principal(names.LEDGER_PRINCIPAL), "topic", prefix, "prefixed", "read")
    for name in OWN_TOPICS:
        yield Rule(principal(names.LEDGER_PRINCIPAL), "topic", name, "literal", "read")
    # How far the routers are, to see what they can no longer decide.
    yield Rule(principal(names.LEDGER_PRINCIPAL), "group", names.ROUTER_GROUP, "literal", "describe")
