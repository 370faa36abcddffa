"""The one error tree, grouped by how one recovers.

    ExchangeError
    ├── ConfigError       refuse to start; say file, line, key and what would be right
    ├── RecordError       quarantine or reject that record, go on
    ├── TransientError    back off, then replay from the committed position
    └── CorruptionError   stop, and call a person

Callers branch on these four only. Every leaf has a stable `code` for logs, metrics and `--output json`, and a `remedy`
for cases in which the raising code gives no better one; docs/errors.md lists them. No message ever contains a record's
value or an identifier.
"""

from __future__ import annotations


class ExchangeError(Exception):
    """Something that the exchange cannot do, and the remedy."""

    code = "exchange"
    exit_status = 1
    remedy = ""

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy or self.remedy

    def __str__(self) -> str:
        return f"{self.message} — {self.remedy}" if self.remedy else self.message


class ConfigError(ExchangeError):
    """A setting, file or contract is wrong: refuse to start."""

    code = "config"
    exit_status = 2


class RecordError(ExchangeError):
    """One record or row is bad: set it aside with its place and reason, go on."""

    code = "record"
    exit_status = 65


class TransientError(ExchangeError):
    """The cluster or a database cannot do something right now: back off and replay."""

    code = "transient"
    exit_status = 75


class CorruptionError(ExchangeError):
    """Stored facts contradict each other: stop and call a person."""

    code = "corruption"
    exit_status = 70
