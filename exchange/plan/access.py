"""The access rules that Kafka enforces for a contract: which principal may do what."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Literal

from exchange import names
from exchange.bus.rule import Rule
from exchange.contract.model import Contract
from exchange.plan.topics import PREFIXES

Pattern = Literal["literal", "prefixed"]
OWN_TOPICS = (names.CONTRACT_TOPIC, names.LEDGER_TOPIC, names.QUOTA_TOPIC, names.SCHEMAS_TOPIC)
_SHARED = ("topic", "group", "transactional-id")  # kinds of resource of which other users of the cluster have some too


def principal(name: str) -> str:
    """The principal as Kafka's rules name it.

    >>> principal("tax")
    'User:tax'
    """
    return f"User:{name}"


def wanted_access(contract: Contract) -> frozenset[Rule]:
    """Every rule that the contract needs; whatever no rule allows, Kafka denies.

    A department may neither read the topics of its own subjects nor write to an inbox: only the router does
    that. Prefixes end in a dot, so that `tax` gets nothing of `taxation`.
    """
    rules: set[Rule] = set()
    for department in contract.departments:
        rules.update(_department(department.id))
    return frozenset(rules | set(_router()) | set(_ledger()))


def owned(rule: Rule, principals: Collection[str]) -> bool:
    """Whether `apply` removes this rule, which no contract asks for.

    It does if the rule allows one of the exchange's own `principals` more than the contract does, or allows
    anyone else to read or write what belongs to the exchange.

    It leaves alone, for `drift` to show: rules that deny, which an administrator made, for example after a theft;
    rules of others that move no records, such as a monitor's; rules of others for `_schemas`, which may belong to
    a schema registry; and rules of others for everything (`*`).
    """
    if rule.permission != "allow" or rule.principal == principal(names.ADMIN_PRINCIPAL):
        return False
    if rule.principal in principals:
        return reaches(rule, principals) or rule.kind not in _SHARED
    moves_records = rule.operation in ("read", "write", "all")
    return moves_records and _is_inside(rule, principals) and rule.name != names.SCHEMAS_TOPIC


def reaches(rule: Rule, principals: Collection[str]) -> bool:
    """Whether a rule affects anything of the exchange, even if only by a wildcard or a shorter prefix."""
    everything = rule.pattern == "literal" and rule.name == "*"
    spaces = (*_spaces(rule.kind, principals), names.SCHEMAS_TOPIC)
    covers = rule.pattern == "prefixed" and any(space.startswith(rule.name) for space in spaces)
    return _is_inside(rule, principals) or (rule.kind in _SHARED and (everything or covers))


def principals(departments: Iterable[str]) -> frozenset[str]:
    """The principals of these departments and of the exchange's services, without the administrator's."""
    return frozenset(principal(name) for name in (*departments, names.ROUTER_PRINCIPAL, names.LEDGER_PRINCIPAL))


def _is_inside(rule: Rule, principals: Collection[str]) -> bool:
    return (rule.kind == "topic" and rule.name == names.SCHEMAS_TOPIC) or rule.name.startswith(
        _spaces(rule.kind, principals)
    )


def _spaces(kind: str, principals: Collection[str]) -> tuple[str, ...]:
    """The prefixes of names of that kind that belong to the exchange; none if the kind is Kafka's own."""
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
    # How much grants with a quota deliver is as public as the grants themselves, which the contract shows.
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
    yield rule("topic", "holdings.", "prefixed", "read")
    yield rule("topic", "holdings.", "prefixed", "write")
    yield rule("topic", names.LEDGER_TOPIC, "literal", "write")
    # A replay looks up there what was delivered before.
    yield rule("topic", names.LEDGER_TOPIC, "literal", "read")
    yield rule("topic", names.QUOTA_TOPIC, "literal", "read")
    yield rule("topic", names.QUOTA_TOPIC, "literal", "write")
    # The live router's group has the bare name; a replay's group is `exchange.router.replay.<id>`.
    yield rule("group", names.ROUTER_GROUP, "literal", "read")
    yield rule("group", f"{names.ROUTER_GROUP}.", "prefixed", "read")
    yield rule("transactional-id", f"{names.ROUTER_GROUP}.", "prefixed", "write")


def _ledger() -> Iterator[Rule]:
    # In the cursor topics are the connectors' reports of what readers hold.
    for prefix in ("subject.", "inbox.", "quarantine.", "holdings.", "cursor."):
        yield Rule(principal(names.LEDGER_PRINCIPAL), "topic", prefix, "prefixed", "read")
    for name in OWN_TOPICS:
        yield Rule(principal(names.LEDGER_PRINCIPAL), "topic", name, "literal", "read")
    # The follower watches how far the routers are, to see which records they can no longer decide.
    yield Rule(principal(names.LEDGER_PRINCIPAL), "group", names.ROUTER_GROUP, "literal", "describe")
