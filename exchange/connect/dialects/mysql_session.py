"""Sessions of MySQL and MariaDB by PyMySQL: values without loss or guess, limits for every wait.

PyMySQL guesses: it gives `0000-00-00` as text and an instant without its zone. Here a value that Python cannot hold
arrives as `Unreadable`, which no field of a record accepts: that row is rejected, and the others flow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, time
from types import MappingProxyType
from typing import Any

from pymysql import converters, cursors
from pymysql.constants import FIELD_TYPE

from exchange.connect.postgres import ANSWER_SPARE_S, LOCK_S
from exchange.connect.sink_values import in_utc
from exchange.connect.source import Unreadable

# A sink's: what does not fit is an error, never cut, rounded or replaced. A source reads what is there, as it is.
STRICT = (
    "STRICT_ALL_TABLES,STRICT_TRANS_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,"
    "NO_AUTO_VALUE_ON_ZERO,NO_ENGINE_SUBSTITUTION"
)
_READING_MODE = "REPLACE(REPLACE(@@sql_mode, 'NO_ZERO_DATE', ''), 'NO_ZERO_IN_DATE', '')"
_BINARY = 63  # the character set of what is no text
_TEXTS = (FIELD_TYPE.STRING, FIELD_TYPE.VAR_STRING, FIELD_TYPE.VARCHAR, FIELD_TYPE.BLOB, FIELD_TYPE.TINY_BLOB,
          FIELD_TYPE.MEDIUM_BLOB, FIELD_TYPE.LONG_BLOB, FIELD_TYPE.ENUM, FIELD_TYPE.SET)  # fmt: skip


def is_mariadb(connection: Any) -> bool:
    """Whether the server of this connection of PyMySQL's is MariaDB."""
    return "mariadb" in str(connection.get_server_info()).lower()


def parameters(timeout_s: float) -> dict[str, Any]:
    """Parameters for connecting: text in UTF-8 whatever the tables use, and a server that hangs is given up."""
    return {
        "charset": "utf8mb4",
        "connect_timeout": 10,
        "read_timeout": timeout_s + ANSWER_SPARE_S,
        "write_timeout": timeout_s + ANSWER_SPARE_S,
        "conv": dict(CONVERSIONS),
    }


def prepare(connection: Any, timeout_s: float, *, writes: bool) -> None:
    """Limit how long a statement takes and waits for locks; moments are in UTC."""
    mode = f"'{STRICT}'" if writes else _READING_MODE
    with connection.cursor() as cursor:
        cursor.execute(
            f"SET SESSION time_zone = '+00:00', sql_mode = {mode}, lock_wait_timeout = {LOCK_S},"
            f" innodb_lock_wait_timeout = {LOCK_S}, {statement_limit(connection, timeout_s)}"
        )


def statement_limit(connection: Any, seconds: float) -> str:
    """The assignment by which statements that take longer are interrupted; MySQL interrupts only SELECT."""
    if is_mariadb(connection):
        return f"max_statement_time = {seconds}"
    return f"max_execution_time = {int(seconds * 1000)}"


class Fields(cursors.Cursor):
    """A cursor that tells the kinds of its columns."""

    def kinds(self) -> list[str | None]:
        """For each column: `text`, if the database compares it as text; `float`, if it shows not all its digits."""
        return [
            "float" if field.type_code == FIELD_TYPE.FLOAT
            else "text" if field.type_code in _TEXTS and field.charsetnr != _BINARY
            else None
            for field in self._result.fields
        ]  # fmt: skip


class Streaming(cursors.SSCursor):
    """A cursor whose rows come one by one."""

    def abandon(self) -> None:
        """Read no further; the connection must be closed."""
        self._result.unbuffered_active = False
        self.connection = None


def stream(connection: Any, statement: str, values: Mapping[str, Any], give_up: Callable[[], None]) -> Iterator[Any]:
    """The rows of a query one by one, as they arrive.

    If the caller stops early, `give_up` closes the connection: otherwise the rest would have to be read.
    """
    cursor = connection.cursor(Streaming)
    try:
        cursor.execute(statement, values)
        while (row := cursor.fetchone()) is not None:
            yield row
    except GeneratorExit:
        if cursor.fetchone() is not None:  # one more row costs less than another connection
            cursor.abandon()
            give_up()
        raise
    cursor.close()


def _tolerant(kind: str, load: Callable[[str], Any]) -> Callable[[str], Any]:
    def convert(text: str) -> Any:
        try:
            return load(text)
        except ValueError:
            return Unreadable(text, kind)

    return convert


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _clock_time(text: str) -> time:
    if len(text.partition(".")[0]) != len("00:00:00"):
        raise ValueError(text)
    return time.fromisoformat(text)


def _quoted(text: str) -> str:
    return f"'{converters.escape_string(text)}'"


CONVERSIONS: Mapping[Any, Any] = MappingProxyType(
    {
        **converters.conversions,
        FIELD_TYPE.DATE: _tolerant("date", date.fromisoformat),
        FIELD_TYPE.DATETIME: _tolerant("timestamp", datetime.fromisoformat),
        FIELD_TYPE.TIMESTAMP: _tolerant("timestamp", _instant),
        FIELD_TYPE.TIME: _tolerant("time", _clock_time),
        FIELD_TYPE.BIT: lambda data: int.from_bytes(data, "big"),
        datetime: lambda moment, _mapping=None: _quoted(in_utc(moment).isoformat(" ")),
        Unreadable: lambda value, _mapping=None: _quoted(value.stored),
    }
)
