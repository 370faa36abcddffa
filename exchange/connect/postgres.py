"""PostgreSQL as departments have it: values that Python cannot hold, any encoding, servers that hang.

psycopg gives up a whole result because of one value such as `infinity`, a year before 1 or after 9999, or `24:00`.
Here such a value arrives as `Unreadable`, which no field of a record accepts: that row is rejected, and the others
flow.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import psycopg
from psycopg.adapt import AdaptersMap, Loader
from psycopg.pq import Format
from psycopg.types.string import StrDumper

from exchange.connect.source import Unreadable

# Types that hold more in PostgreSQL than in Python; arrays and ranges of them use the same loaders.
_WIDER = ("date", "time", "timetz", "timestamp", "timestamptz", "interval", "json", "jsonb")
LOCK_S = 15  # a table that someone else has locked for this long is reported as locked
# The files of PostgreSQL's source that check constraints; a trigger's own errors come from those of its language.
CHECKERS = ("execMain.c", "nbtinsert.c", "ri_triggers.c", "execIndexing.c", "execExprInterp.c", "domains.c")
# Values as text that is the same in every session; a transaction may wait for Kafka, and a commit is on the disk.
PLAIN = (
    "-c datestyle=ISO -c intervalstyle=postgres -c extra_float_digits=1 -c bytea_output=hex "
    "-c idle_in_transaction_session_timeout=0 -c synchronous_commit=local"
)
ANSWER_SPARE_S = 30  # a server that takes this much longer than its own limit counts as hanging


class Connection(psycopg.Connection[Any]):
    """A connection that is closed if the server does not answer for `answer_s`: it hangs, or is cut off."""

    answer_s = 330.0

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        began = time.monotonic()
        try:
            return super().wait(gen, interval, timeout or self.answer_s)
        except psycopg.OperationalError:
            if time.monotonic() - began >= self.answer_s:
                self.close()
            raise


def parameters(given: Mapping[str, Any], timeout_s: float, *, limits_locks: bool = True) -> dict[str, Any]:
    """Parameters for connecting: limits for every statement, times in UTC, text in UTF-8, whatever the database uses.

    In UTC, the cursor's times are always written in the same way. What the URL asks for (`given`) takes precedence.
    `limits_locks`: whether the server knows a limit for waiting for locks.
    """
    limits = f"{f'-c lock_timeout={LOCK_S}s ' if limits_locks else ''}-c statement_timeout={int(timeout_s * 1000)}"
    options = f"-c timezone=UTC {limits}"
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
    """A connection through which every value arrives, if need be as Unreadable."""
    connection = Connection.connect(*arguments, **given)
    connection.answer_s = timeout_s + ANSWER_SPARE_S
    tolerate(connection.adapters)
    return connection


def tolerate(adapters: AdaptersMap) -> None:
    """Have values that Python cannot hold loaded as Unreadable, and these sent as they came."""
    for name in _WIDER:
        adapters.register_loader(name, _tolerant(name, adapters))
    adapters.register_dumper(Unreadable, _UnreadableDumper)


def _tolerant(name: str, adapters: AdaptersMap) -> type[_Tolerant]:
    inner = adapters.get_loader(adapters.types[name].oid, Format.TEXT)
    return type(_Tolerant.__name__, (_Tolerant,), {"inner": inner, "kind": name})


class _Tolerant(Loader):
    """What another loader makes of a value, or Unreadable if it cannot load it."""

    inner: type[Any]
    kind: str

    def __init__(self, oid: int, context: Any = None) -> None:
        super().__init__(oid, context)
        self._load = self.inner(oid, context).load

    def load(self, data: Any) -> Any:
        try:
            return self._load(data)
        except Exception:  # the driver's or Python's: DataError, ValueError, OverflowError, RecursionError …
            return Unreadable(bytes(data).decode("utf-8", "surrogateescape"), self.kind)


class _UnreadableDumper(StrDumper):
    """Sends an Unreadable as PostgreSQL wrote it; the server works out its type."""

    oid = 0

    def dump(self, obj: Any) -> Any:
        return obj.stored.encode("utf-8", "surrogateescape")


def stream(connection: Any, statement: str, values: Mapping[str, Any]) -> Iterator[Sequence[Any]]:
    """The rows of a query one by one, as they arrive; a caller that stops early does not fetch the rest."""
    with connection.cursor() as cursor:
        yield from cursor.stream(statement, values)
