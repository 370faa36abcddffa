"""Log lines: JSON for machines, text for people, and nothing that could be personal data."""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from datetime import UTC, datetime
from typing import TextIO

from exchange.errors import ConfigError, ExchangeError
from exchange.printable import printable

FIELDS = frozenset({
    "address", "attempt", "change", "code", "entries", "epoch", "failures", "grant", "instance", "partition",
    "partitions", "path", "reader", "reason", "records", "remedy", "subject", "target", "times", "topic",
})  # fmt: skip
"""The `extra` fields that reach the log; all others are dropped. There is no field for a record's key or value."""

REPEAT_S = 60.0
_NO_ERRORS = {"Cancelled", "UnstableOffsetCommitError"}

Scalar = str | int | float | bool | None


def configure(level: str = "INFO", *, stream: TextIO | None = None) -> None:
    """Send all logging to `stream` (stderr): as JSON lines, or as text if it is a terminal.

    Libraries are logged from WARNING on, whatever `level` is. Raises `ConfigError` for an unknown level.
    """
    if level not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise ConfigError(
            f"unknown log level {level!r}", remedy="set EXCHANGE_LOG_LEVEL to DEBUG, INFO, WARNING or ERROR"
        )
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    handler.addFilter(_Useful())
    handler.setFormatter(TextFormatter() if stream.isatty() else JsonFormatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("exchange").setLevel(level)


class _Useful(logging.Filter):
    """Leaves out what is of no use in kafka-python's log lines.

    It reports some normal events as errors: an answer to wait for, a closing client. While a broker is away, each
    client reports each of its attempts several times; of lines that differ only by numbers and addresses
    in memory, one in `REPEAT_S` is left.
    """

    def __init__(self) -> None:
        super().__init__()
        self._told_s: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith("kafka."):
            return True
        arguments = record.args if isinstance(record.args, tuple) else ()
        if any(type(each).__name__ in _NO_ERRORS for each in arguments):
            return False
        line = (record.name, re.sub(r"0x[0-9a-f]+|\d+", "", str(record.msg)))
        if record.created < self._told_s.get(line, 0.0) + REPEAT_S:
            return False
        self._told_s[line] = record.created
        return True


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time, level, logger, message and the allowed fields."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Scalar | list[str]] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info and record.exc_info[1]:
            line["exception"] = _describe(record.exc_info[1])
        return json.dumps(line, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """The same facts on one line, for a person."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).astimezone().strftime("%H:%M:%S")
        fields = "".join(f" {name}={value}" for name, value in _fields(record).items())
        line = printable(f"{time} {record.levelname.lower():7} {record.getMessage()}{fields}", "")
        if record.exc_info and record.exc_info[1]:
            line += "".join(f"\n    {printable(step, '')}" for step in _describe(record.exc_info[1]))
        return line


def _fields(record: logging.LogRecord) -> dict[str, Scalar]:
    return {name: value for name, value in vars(record).items() if name in FIELDS and isinstance(value, Scalar)}


def _describe(error: BaseException) -> list[str]:
    """The chain of causes, with their places in the code.

    Only the exchange's own errors keep their messages: a library's may quote a row or a parameter.
    """
    steps: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        name = f"{type(cause).__module__}.{type(cause).__qualname__}"
        steps.append(f"{name} [{cause.code}]: {cause.message}" if isinstance(cause, ExchangeError) else name)
        steps += [f"  {f.filename}:{f.lineno} in {f.name}" for f in traceback.extract_tb(cause.__traceback__)]
        cause = cause.__cause__ or cause.__context__
    return steps
