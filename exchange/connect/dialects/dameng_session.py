"""Sessions of Dameng by dmPython, and SQLAlchemy's dialect for it.

What the driver does to values is in its published source: texts, bytes, integers, doubles, dates and timestamps come
and go whole, decimals come by their text. It cuts off the fraction of a TIME and the zone of any time, makes 32-bit
floats of a text with unknown digits, has no room for the end of a long CHAR or BINARY, and with `executemany` sends
decimals as 32-bit floats.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import datetime
from typing import Any

import dmPython
from sqlalchemy.dialects.oracle.base import OracleDialect, OracleIdentifierPreparer
from sqlalchemy.engine import URL

from exchange.connect.dialects.dameng_catalog import Catalog
from exchange.connect.sink_values import in_utc

_CONNECT_S = 10
_DEFAULT_PORT = 5236
_LOST = (-6003, -6007, -6010, -6029, -70019, -70025, -70028, -70065, -70066)
_MICROSECONDS = 6  # digits of a second that the driver gives
_PADDED = 2000  # bytes for which it has room where the length is fixed


class _Names(OracleIdentifierPreparer):
    """Writes each name in quotes, as the catalogue has it, so that no word is reserved."""

    def __init__(self, dialect: Any, **options: Any) -> None:
        super().__init__(dialect, **options)
        self.reserved_words, self.illegal_initial_characters = set(), set()

    def quote(self, ident: str, force: Any = None) -> str:
        return str(self.quote_identifier(self.dialect.denormalize_name(ident)))


class DamengDialect(Catalog, OracleDialect):
    """SQLAlchemy's dialect of Oracle, whose SQL Dameng takes, with Dameng's catalogue."""

    name, driver = "dameng", "dmPython"
    preparer: Any = _Names
    default_paramstyle = "qmark"
    supports_statement_cache = True
    supports_native_decimal = True
    supports_sane_multi_rowcount = False

    @classmethod
    def import_dbapi(cls) -> Any:
        return dmPython

    def _get_server_version_info(self, _connection: Any) -> tuple[int, ...]:
        return (12, 1)  # of the Oracle whose FETCH FIRST it takes

    def _check_max_identifier_length(self, _connection: Any) -> None:
        """That of Oracle from 12.2."""

    def _get_default_schema_name(self, connection: Any) -> str:
        return str(self.normalize_name(connection.connection.driver_connection.current_schema))

    def do_execute(self, cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
        cursor.execute(statement, _sent(parameters))

    def do_executemany(self, cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
        for each in parameters:
            cursor.execute(statement, _sent(each))

    def is_disconnect(self, e: Any, connection: Any, cursor: Any) -> bool:
        return getattr(e.args[0] if e.args else None, "code", 0) in _LOST


def connect(url: URL, timeout_s: float) -> Any:
    """A connection on which the server has to answer within that time; texts go as UTF-8."""
    return dmPython.connect(
        user=url.username or "",
        password=url.password or "",
        server=url.host,
        port=url.port or _DEFAULT_PORT,
        autoCommit=False,
        connection_timeout=math.ceil(timeout_s),
        login_timeout=_CONNECT_S,
        local_code=dmPython.PG_UTF8,
        app_name="exchange",
    )


def kind(column: Sequence[Any]) -> str | None:
    """The kind of a column as the driver describes it, in the words of the class Dameng."""
    of_type, size, scale = column[1], column[4] or 0, column[5] or 0
    if of_type is dmPython.TIMESTAMP and scale > _MICROSECONDS:
        return "fine"
    if of_type in (dmPython.FIXED_BINARY, dmPython.FIXED_STRING) and size > _PADDED:
        return "bytes" if of_type is dmPython.FIXED_BINARY else "text"
    kinds = {
        dmPython.TIMESTAMP_WITH_TIMEZONE: "zoned",
        dmPython.TIME: "time",
        dmPython.TIME_WITH_TIMEZONE: "time",
        dmPython.REAL: "single",
    }
    return kinds.get(of_type)


def described(connection: Any, statement: str, values: Sequence[Any]) -> list[str | None]:
    """The kinds of the columns that the statement gives."""
    with closing(connection.cursor()) as cursor:
        cursor.execute(statement, _sent(values))
        return [kind(column) for column in cursor.description]


def stream(connection: Any, statement: str, values: Sequence[Any], give_up: Callable[[], None]) -> Iterator[Any]:
    """The rows of a query as they arrive.

    If the driver fails on a value, what it does with the rest is unknown: `give_up` closes the connection.
    """
    try:
        with closing(connection.cursor()) as cursor:
            cursor.execute(statement, _sent(values))
            while (row := cursor.fetchone()) is not None:
                yield [value.read() if hasattr(value, "read") else value for value in row]
    except (ValueError, OverflowError) as error:  # a year before 1, text that is none
        give_up()
        raise dmPython.DataError("a value that Python does not have") from error


def _sent(values: Sequence[Any]) -> list[Any]:
    """The values as they are sent: a moment in UTC, for the driver leaves out its zone."""
    return [in_utc(value) if isinstance(value, datetime) else value for value in values]
