"""Sessions of Oracle by oracledb: values without loss, limits for every wait.

By itself the driver makes a NUMBER with decimals a float, leaves out a time's zone, cuts a time that it sends off after
the second, and hands out handles for long values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import oracledb
from sqlalchemy.engine import URL

from exchange.connect.sink_values import in_utc

_CONNECT_S = 10.0
_DEFAULT_PORT = 1521
_TIMES = (oracledb.DB_TYPE_TIMESTAMP, oracledb.DB_TYPE_TIMESTAMP_TZ, oracledb.DB_TYPE_TIMESTAMP_LTZ)
_MICROSECONDS = 6  # digits of a second that the driver gives
# How a value that would come as a handle, or strictly decoded, is fetched.
_FETCHED: Mapping[Any, Any] = {
    oracledb.DB_TYPE_CLOB: oracledb.DB_TYPE_LONG,
    oracledb.DB_TYPE_NCLOB: oracledb.DB_TYPE_LONG_NVARCHAR,
    oracledb.DB_TYPE_BLOB: oracledb.DB_TYPE_LONG_RAW,
    **{each: each for each in (oracledb.DB_TYPE_VARCHAR, oracledb.DB_TYPE_CHAR, oracledb.DB_TYPE_LONG,
                               oracledb.DB_TYPE_NVARCHAR, oracledb.DB_TYPE_NCHAR)},
}  # fmt: skip
# Moments in UTC; texts are compared by their bytes, whatever the language of the server.
_SESSION = ("ALTER SESSION SET TIME_ZONE = '+00:00'", "ALTER SESSION SET NLS_COMP = BINARY NLS_SORT = BINARY")


def parameters(url: URL) -> dict[str, Any]:
    """What the driver's `connect` takes for that URL."""
    service = {"service_name": url.database} if url.database else {}
    return {
        "user": url.username,
        "password": url.password,
        "host": url.host,
        "port": url.port or _DEFAULT_PORT,
        "tcp_connect_timeout": _CONNECT_S,
        "expire_time": 1,  # minutes after which a silent connection is looked at
        **service,
        **url.query,
    }


def connect(url: URL, timeout_s: float) -> Any:
    """A connection whose statements are interrupted after that time."""
    connection = oracledb.connect(**parameters(url))
    connection.call_timeout = int(timeout_s * 1000)
    return connection


def prepare(connection: Any, *, writes: bool) -> None:
    """Have values come, and go (`writes`), without loss."""
    connection.outputtypehandler = fetched
    if writes:
        connection.inputtypehandler = sent
    with connection.cursor() as cursor:
        for statement in _SESSION:
            cursor.execute(statement)


def kind(column: Any) -> str | None:
    """The kind of a column as the driver describes it, in the words of the class Oracle."""
    if column.type_code not in _TIMES:
        return None
    zoned = "" if column.type_code is oracledb.DB_TYPE_TIMESTAMP else "zoned"
    return " ".join(filter(None, [zoned, "fine" if (column.scale or 0) > _MICROSECONDS else ""])) or None


def fetched(cursor: Any, column: Any) -> Any:
    """The variable into which a column is fetched; None: the driver's own is exact."""
    of_type, size = column.type_code, {"arraysize": cursor.arraysize}
    if of_type is oracledb.DB_TYPE_NUMBER:
        return cursor.var(Decimal, **size, outconverter=_number)
    if of_type in (oracledb.DB_TYPE_TIMESTAMP_TZ, oracledb.DB_TYPE_TIMESTAMP_LTZ):
        return cursor.var(of_type, **size, outconverter=_instant)
    if of_type in _FETCHED:
        # Text that is not what the database says comes with surrogates, so that only its row is rejected.
        return cursor.var(_FETCHED[of_type], column.internal_size or 0, **size, encoding_errors="surrogateescape")
    return None


def sent(cursor: Any, value: Any, rows: int) -> Any:
    """The variable in which a value is sent; None: the driver's own is exact."""
    if isinstance(value, float):
        return cursor.var(oracledb.DB_TYPE_BINARY_DOUBLE, arraysize=rows)
    if isinstance(value, datetime):
        return cursor.var(oracledb.DB_TYPE_TIMESTAMP, arraysize=rows)
    return None


def _number(value: Decimal) -> Decimal | int:
    """A whole number as such, whatever the column: a NUMBER without a scale holds both."""
    whole = value.to_integral_value()
    return int(whole) if whole == value else value


def _instant(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC)


def stream(connection: Any, statement: str, values: Mapping[str, Any], give_up: Callable[[], None]) -> Iterator[Any]:
    """The rows of a query as they arrive; a caller that stops early does not fetch the rest.

    If the driver fails on a value, it has not read the server's answer to its end: `give_up` closes the connection.
    """
    moments = {name: value for name, value in values.items() if isinstance(value, datetime)}
    # Without a fraction a time goes as DATE: compared with a TIMESTAMP, an index on a DATE would not be used.
    exact = {name: oracledb.DB_TYPE_TIMESTAMP for name, value in moments.items() if value.microsecond}
    try:
        with connection.cursor() as cursor:
            if exact:
                cursor.setinputsizes(**exact)
            yield from cursor.execute(statement, {**values, **{name: in_utc(each) for name, each in moments.items()}})
    except (ValueError, OverflowError) as error:  # a year before 1
        give_up()
        raise oracledb.DataError("a value that Python does not have") from error
