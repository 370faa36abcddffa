"""Access rules on the broker: describe, create and delete, many at once."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import kafka.errors
from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    KafkaAdminClient,
    ResourcePattern,
    ResourcePatternFilter,
    ResourceType,
)

from exchange.contract.access import Rule
from exchange.errors import ConfigError

_AT_ONCE = 1000
_ANYTHING = ACLFilter(
    None,
    None,
    ACLOperation.ANY,
    ACLPermissionType.ANY,
    ResourcePatternFilter(ResourceType.ANY, None, ACLResourcePatternType.ANY),
)


class AccessRefusedError(ConfigError):
    """Kafka will not have an access rule."""

    code = "access-refused"


def describe(client: KafkaAdminClient) -> frozenset[Rule] | None:
    """Every access rule of the cluster; None where it has no authorizer."""
    try:
        found, _ = client.describe_acls(_ANYTHING)
    except kafka.errors.SecurityDisabledError:
        return None
    return frozenset(_rule(acl) for acl in found)


def create(client: KafkaAdminClient, rules: Collection[Rule]) -> None:
    """Add the rules; those that are there already stay as they are."""
    for some in _slices(rules):
        failed = client.create_acls([_acl(rule) for rule in some])["failed"]
        _raise_first(failed, "add")


def delete(client: KafkaAdminClient, rules: Collection[Rule]) -> None:
    """Remove exactly these rules; those that are not there do not matter."""
    for some in _slices(rules):
        outcomes = client.delete_acls([_acl(rule) for rule in some])
        _raise_first([error for _, _, error in outcomes if error is not kafka.errors.NoError], "remove")


def _raise_first(errors: Collection[type[kafka.errors.KafkaError]], doing: str) -> None:
    for error in errors:
        if issubclass(error, kafka.errors.AuthorizationError) or error.retriable:
            raise error
        message = f"Kafka refuses to {doing} {len(errors)} access rules: {error.__name__}"
        raise AccessRefusedError(message, remedy="look at the controller's log")


def _slices(rules: Iterable[Rule]) -> Iterable[list[Rule]]:
    ordered = sorted(rules)
    return (ordered[i : i + _AT_ONCE] for i in range(0, len(ordered), _AT_ONCE))


def _rule(acl: ACL) -> Rule:
    resource = acl.resource_pattern
    return Rule(
        acl.principal,
        _word(resource.resource_type.name),
        resource.resource_name,
        _word(resource.pattern_type.name),
        _word(acl.operation.name),
        _word(acl.permission_type.name),
        acl.host,
    )


def _acl(rule: Rule) -> ACL:
    pattern = ResourcePattern(ResourceType[_name(rule.kind)], rule.name, ACLResourcePatternType[_name(rule.pattern)])
    operation, permission = ACLOperation[_name(rule.operation)], ACLPermissionType[_name(rule.permission)]
    return ACL(rule.principal, rule.host, operation, permission, pattern)


def _word(name: str) -> str:
    return name.lower().replace("_", "-")


def _name(word: str) -> str:
    return word.upper().replace("-", "_")
