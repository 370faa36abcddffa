"""An access rule in Kafka's own terms."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Rule:
    """One access rule in Kafka's own terms, in small letters; `principal` includes its type: `User:tax`.

    `read` and `write` include `describe`. A transaction needs `write` on the transactional id, a group needs `read`.
    """

    principal: str
    kind: str
    name: str
    pattern: str
    operation: str
    permission: str = "allow"
    host: str = "*"

    @property
    def resource(self) -> str:
        """What the rule is about, in one word.

        >>> Rule("User:tax", "topic", "subject.tax.", "prefixed", "write").resource
        'subject.tax.…'
        """
        return self.name + ("…" if self.pattern == "prefixed" else "")


def in_words(rules: Iterable[Rule]) -> str:
    """What the rules of one principal allow (or deny), by operation and kind of resource.

    >>> in_words([Rule("User:tax", "topic", n, "literal", "read") for n in ("a", "b")])
    'read topics a, b'
    """
    groups: dict[str, list[str]] = {}
    for rule in sorted(rules, key=lambda r: (r.kind != "topic", r.kind, r.operation != "write", r.operation, r.name)):
        never = "never " if rule.permission == "deny" else ""
        host = "" if rule.host == "*" else f" from {rule.host}"
        verb = "use" if rule.kind in ("group", "transactional-id") and rule.operation in ("read", "write") else None
        what = f"{never}{verb or rule.operation} {rule.kind.replace('-', ' ')}s{host}"
        groups.setdefault(what, []).append(rule.resource)
    return "; ".join(f"{start} {', '.join(resources)}" for start, resources in groups.items())
