"""PostgreSQL as departments have it: values that Python cannot hold, any encoding, and servers that hang.

psycopg gives up a whole result over one value such as `infinity`, a year before 1 or after 9999, or
`24:00`. Here such a value arrives as `Unreadable`, which no field of a record takes, so that one row is
rejected and the others flow.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import psycopg
from psycopg.adapt import Loader
from psycopg.pq import Format
from psycopg.types.string import StrDumper

from exchange.connect.source import Unreadable

# Types of which Python has less than PostgreSQL; arrays and ranges of them go through the same loaders.
_WIDER = ("date", "time", "timetz", "timestamp", "timestamptz", "interval", "json", "jsonb")
LOCK_S = 15  # a table that somebody else has locked for so long is said to be locked
ANSWER_SPARE_S = 30  # what a server may take over its own limit before it counts as hanging


class Connection(psycopg.Connection[Any]):
    """A connection that is closed when the server does not answer for `answer_s`, as when it hangs or is cut off."""

    answer_s = 330.0

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        began = time.monotonic()
        try:
            return super().wait(gen, interval, timeout or self.answer_s)
        except psycopg.OperationalError:
            if time.monotonic() - began >= self.answer_s:
                self.close()
            raise


def parameters(given: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
    """How to connect: with limits for every statement, times in UTC and text in UTF-8, whatever the database's own is.

    In UTC the cursor's times are always written the same way. What the URL asks for (`given`) stays.
    """
    options = f"-c timezone=UTC -c lock_timeout={LOCK_S}s -c statement_timeout={int(timeout_s * 1000)}"
    ours = {
        "connect_timeout": 10,
        "keepalives_idle": 30,
        "tcp_user_timeout": 60_000,
        "client_encoding": "utf8",
    }
    return {name: value for name, value in ours.items() if name not in given} | {
        "options": f"{options} {given.get('options', '')}".strip()
    }


def connect(arguments: Sequence[Any], given: Mapping[str, Any], timeout_s: float) -> Connection:
    """A connection whose values all arrive."""
    connection = Connection.connect(*arguments, **given)
    connection.answer_s = timeout_s + ANSWER_SPARE_S
    for name in _WIDER:
        connection.adapters.register_loader(name, _tolerant(name, connection))
    connection.adapters.register_dumper(Unreadable, _UnreadableDumper)
    return connection


def _tolerant(name: str, connection: Connection) -> type[_Tolerant]:
    inner = connection.adapters.get_loader(connection.adapters.types[name].oid, Format.TEXT)
    return type(_Tolerant.__name__, (_Tolerant,), {"inner": inner, "kind": name})


class _Tolerant(Loader):
    """What another loader makes of a value, or Unreadable where it cannot."""

    inner: type[Any]
    kind: str

    def __init__(self, oid: int, context: Any = None) -> None:
        super().__init__(oid, context)
        self._load = self.inner(oid, context).load

    def load(self, data: Any) -> Any:
        try:
            return self._load(data)
        except Exception:  # the driver's own and Python's: DataError, ValueError, OverflowError, RecursionError …
            return Unreadable(bytes(data).decode("utf-8", "surrogateescape"), self.kind)


class _UnreadableDumper(StrDumper):
    """An Unreadable as PostgreSQL wrote it, of a type that the server finds out."""

    oid = 0

    def dump(self, obj: Any) -> Any:
        return obj.stored.encode("utf-8", "surrogateescape")


def stream(connection: Any, statement: str, values: Mapping[str, Any]) -> Iterator[Sequence[Any]]:
    """The rows of a query one by one, as they arrive; who stops early has not fetched the rest."""
    with connection.cursor() as cursor:
        yield from cursor.stream(statement, values)
