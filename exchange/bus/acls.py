"""Reads, creates and deletes access rules on the broker, many at a time.

It uses the numbers of Kafka's protocol: kafka-python 3.0.12 cannot read a rule whose operation it has no name for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import kafka.errors
from kafka.admin import KafkaAdminClient
from kafka.protocol.admin import CreateAclsRequest, DeleteAclsRequest, DescribeAclsRequest

from exchange.bus.connection import ask
from exchange.bus.rule import Rule
from exchange.errors import ConfigError

_AT_ONCE = 1000
_ANY = 1
# Words by Kafka's number; the first two are only for filters.
_KINDS = ("unknown", "any", "topic", "group", "cluster", "transactional-id", "delegation-token", "user")
_PATTERNS = ("unknown", "any", "match", "literal", "prefixed")
_OPERATIONS = (
    *("unknown", "any", "all", "read", "write", "create", "delete", "alter", "describe", "cluster-action"),
    *("describe-configs", "alter-configs", "idempotent-write", "create-tokens", "describe-tokens", "two-phase-commit"),
)
_PERMISSIONS = ("unknown", "any", "deny", "allow")


class AccessRefusedError(ConfigError):
    """Kafka does not accept an access rule."""

    code = "access-refused"
    remedy = "look at the controller's log"


def describe(client: KafkaAdminClient) -> frozenset[Rule] | None:
    """Every access rule of the cluster; None if the cluster has no authorizer."""
    response = ask(client, DescribeAclsRequest(_ANY, None, _ANY, None, None, _ANY, _ANY, min_version=1))
    error = kafka.errors.for_code(response.error_code)
    if error is kafka.errors.SecurityDisabledError:
        return None
    if error is not kafka.errors.NoError:
        raise error(response.error_message)
    return frozenset(
        Rule(
            acl.principal,
            _word(_KINDS, resource.resource_type),
            resource.resource_name,
            _word(_PATTERNS, resource.pattern_type),
            _word(_OPERATIONS, acl.operation),
            _word(_PERMISSIONS, acl.permission_type),
            acl.host,
        )
        for resource in response.resources
        for acl in resource.acls
    )


def create(client: KafkaAdminClient, rules: Collection[Rule]) -> None:
    """Add the rules; rules that exist already stay as they are."""
    for some in _slices(rules):
        response = ask(client, CreateAclsRequest([_numbers(rule) for rule in some], min_version=1))
        _raise_first([result.error_code for result in response.results], "add")


def delete(client: KafkaAdminClient, rules: Collection[Rule]) -> None:
    """Remove exactly these rules; rules that do not exist are ignored."""
    for some in _slices(rules):
        results = ask(client, DeleteAclsRequest([_numbers(rule) for rule in some], min_version=1)).filter_results
        matched = [acl.error_code for result in results for acl in result.matching_acls or ()]
        _raise_first([*(result.error_code for result in results), *matched], "remove")


def _raise_first(codes: Iterable[int], doing: str) -> None:
    errors = [kafka.errors.for_code(code) for code in codes if code]
    for error in errors:
        if issubclass(error, kafka.errors.AuthorizationError) or error.retriable:
            raise error
        message = f"Kafka refuses to {doing} {len(errors)} access rules: {error.__name__}"
        raise AccessRefusedError(message)


def _slices(rules: Iterable[Rule]) -> Iterable[list[Rule]]:
    ordered = sorted(rules)
    return (ordered[i : i + _AT_ONCE] for i in range(0, len(ordered), _AT_ONCE))


def _numbers(rule: Rule) -> tuple[int, str, int, str, str, int, int]:
    """The rule in the form of Kafka's protocol: for creating it, or as a filter that matches only it."""
    kind, pattern = _number(_KINDS, rule.kind), _number(_PATTERNS, rule.pattern)
    operation, permission = _number(_OPERATIONS, rule.operation), _number(_PERMISSIONS, rule.permission)
    return kind, rule.name, pattern, rule.principal, rule.host, operation, permission


def _word(words: Sequence[str], number: int) -> str:
    """The word for a number of the protocol; the number itself if it has no word.

    >>> _word(_OPERATIONS, 3), _word(_OPERATIONS, 99)
    ('read', '99')
    """
    return words[number] if number < len(words) else str(number)


def _number(words: Sequence[str], word: str) -> int:
    """The reverse of `_word`.

    >>> _number(_OPERATIONS, "read"), _number(_OPERATIONS, "99")
    (3, 99)
    """
    return words.index(word) if word in words else int(word)
