"""Sessions of SQL Server by pytds: limits for every wait, and errors with a number for what the driver has none."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytds
from OpenSSL import SSL
from sqlalchemy.dialects.mssql.base import MSDialect, MSExecutionContext
from sqlalchemy.engine import URL

from exchange.connect.dialects.sqlserver_errors import LOCKED, NO_HOST, NO_TLS, TOO_LATE, UNREACHABLE
from exchange.connect.postgres import LOCK_S

_CONNECT_S = 10.0
# What does not fit is an error, never cut off; a failing statement undoes itself, and not the whole transaction.
_SESSION = f"SET ANSI_WARNINGS ON; SET ANSI_PADDING ON; SET XACT_ABORT OFF; SET LOCK_TIMEOUT {LOCK_S * 1000}"


_CHANGES = ("MERGE ", "INSERT ", "UPDATE ", "DELETE ", "CREATE ", "ALTER ")


class _Context(MSExecutionContext):
    changed: int | None = None

    def post_exec(self) -> None:
        super().post_exec()  # type: ignore[no-untyped-call]
        if self.changed is not None:
            self._rowcount = self.changed


class PytdsDialect(MSDialect):
    """SQLAlchemy's dialect of SQL Server, for pytds.

    A trigger's statements have answers of their own, before that of the statement which it follows. The driver stops
    reading at the first, and cancels the rest with the next statement; so all are read here, with what errors they say.
    """

    driver = "pytds"
    default_paramstyle = "pyformat"
    supports_statement_cache = True
    supports_native_decimal = True
    supports_native_uuid = True
    supports_sane_multi_rowcount = False
    execution_ctx_cls = _Context

    @classmethod
    def import_dbapi(cls) -> Any:
        return pytds

    def _get_server_version_info(self, connection: Any) -> tuple[int, ...]:
        said = connection.exec_driver_sql("SELECT CAST(SERVERPROPERTY('ProductVersion') AS nvarchar(64))").scalar()
        return tuple(int(part) for part in str(said).split("."))

    def do_execute(self, cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
        with _numbered(TOO_LATE):
            changed = _execute(cursor, statement, parameters)
        if context is not None:
            context.changed = changed

    def do_executemany(self, cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
        with _numbered(TOO_LATE):
            for each in parameters:
                _execute(cursor, statement, each)

    def is_disconnect(self, e: Any, connection: Any, cursor: Any) -> bool:
        """Whether the connection is of no use any more; after a timeout the server may still send its answer."""
        is_fatal = getattr(e, "severity", 0) >= 20
        return is_fatal or getattr(e, "msg_no", 0) == TOO_LATE or isinstance(e, pytds.InterfaceError)


def connect(url: URL, timeout_s: float) -> Any:
    """A connection on which the server has to answer within that time."""
    with _numbered(UNREACHABLE):
        connection = pytds.connect(
            url.host,
            database=url.database,
            user=url.username,
            password=url.password,
            port=url.port,
            timeout=timeout_s,
            login_timeout=_CONNECT_S,
            cafile=url.query.get("cafile"),
            appname="exchange",
        )
        with connection.cursor() as cursor:
            cursor.execute(_SESSION)
        connection.commit()
    return connection


def stream(connection: Any, statement: str, values: Mapping[str, Any], give_up: Callable[[], None]) -> Iterator[Any]:
    """The rows of a query as they arrive.

    If the driver fails on a value, or the caller stops early, the rest of the answer is not read: `give_up` closes the
    connection.
    """
    cursor = connection.cursor()
    try:
        with _numbered(TOO_LATE):
            cursor.execute(statement, values)
        while True:
            with _numbered(TOO_LATE):
                row = cursor.fetchone()
            if row is None:
                break
            yield row
        with _numbered(TOO_LATE):
            cursor.nextset()  # what comes after the last row: otherwise, the next statement would cancel this one
    except GeneratorExit:
        if cursor.fetchone() is not None:  # one more row costs less than another connection
            give_up()
        raise
    except (ValueError, OverflowError) as error:  # text that is not what its column's collation says
        give_up()
        raise pytds.DataError("a value that Python does not have") from error
    cursor.close()


def _execute(cursor: Any, statement: str, parameters: Any) -> int | None:
    """Execute a statement; return how many rows it changed, None if it is not there for that."""
    cursor.execute(statement, parameters)
    if not statement.startswith(_CHANGES):
        return None
    counts = [cursor.rowcount]
    while cursor.nextset():
        counts.append(cursor.rowcount)
    return next((count for count in reversed(counts) if count >= 0), -1)


def locked() -> Exception:
    """The error of somebody who waited too long for a lock."""
    return _error(LOCKED)


@contextmanager
def _numbered(number: int) -> Iterator[None]:
    """Raise the driver's own error for one of the network; the number says what was going on."""
    try:
        yield
    except socket.gaierror as error:
        raise _error(NO_HOST) from error
    except OSError as error:  # a timeout is one, too
        raise _error(number) from error
    except SSL.Error as error:
        raise _error(NO_TLS) from error
    except pytds.tds_base.Error as error:
        if re.search("encrypt|certificate", str(error), re.IGNORECASE):
            raise _error(NO_TLS) from error
        raise


def _error(number: int) -> Exception:
    made: Exception = pytds.OperationalError("timed out" if number == TOO_LATE else "")
    made.msg_no = number  # type: ignore[attr-defined]
    return made
