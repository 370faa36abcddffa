"""Oracle from 12.1, as a source, by oracledb without Oracle's own client."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Select, event
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.sql.elements import ColumnElement

from exchange.connect.dialects.dialect import Columns, Dialect, spelt_after, spelt_within, statement
from exchange.errors import ConfigError

# What can stand behind the ? of a URL.
_OPTIONS = ("sid", "protocol", "wallet_location", "ssl_server_cert_dn")
_UTC: ColumnElement[Any] = sa.literal_column("'+00:00'")
# Nine digits of the second, of which the driver would cut off three.
_FINE = "'YYYY-MM-DD\"T\"HH24:MI:SS.FF9%s'"


class CursorTooFineError(ConfigError):
    """A source's cursor has times that the driver would cut off after the microsecond, so that rows would be missed."""

    code = "cursor-too-fine"
    remedy = "name a `query` that rounds the column: CAST(… AS TIMESTAMP(6)), or … AS TIMESTAMP(6) WITH TIME ZONE"


class Oracle(Dialect):
    """Oracle. Its DATE has a time, its empty text is null, and it compares no pairs.

    The kinds of its columns: `zoned` and `fine`, for times with a zone and with more than six digits of the second.
    """

    name, title, drivername = "oracle", "Oracle", "oracle+oracledb"
    example, extra = "oracle://user@host/service", "oracle"

    def fault(self, url: URL) -> str | None:
        if wrong := ", ".join(name for name in url.query if name not in _OPTIONS):
            return f"has {wrong}, but behind its ? goes only {', '.join(_OPTIONS)}"
        if not url.host:
            return "names no host"
        if bool(url.database) == ("sid" in url.query):
            return "has to name either a service or, behind its ?, a sid"
        if url.query.get("protocol", "tcp") not in ("tcp", "tcps"):
            return "has a protocol other than tcp and tcps"
        return None

    def engine(self, url: URL, timeout_s: float, *, writes: bool) -> Engine:
        from exchange.connect.dialects import oracle_session

        made = sa.create_engine(
            url, hide_parameters=True, pool_pre_ping=True, creator=lambda: oracle_session.connect(url, timeout_s)
        )

        @event.listens_for(made, "connect")
        def _prepare(connection: Any, _record: object) -> None:
            oracle_session.prepare(connection)

        return made

    def stream(self, connection: Connection, query: Select[Any]) -> Generator[Sequence[Any], None, None]:
        from exchange.connect.dialects import oracle_session

        driver: Any = connection.connection.driver_connection
        yield from oracle_session.stream(driver, *statement(connection, query), connection.invalidate)

    def kinds(self, connection: Connection, query: Select[Any]) -> Mapping[str, str]:
        from exchange.connect.dialects import oracle_session

        driver: Any = connection.connection.driver_connection
        with driver.cursor() as cursor:
            cursor.execute(*statement(connection, query.limit(0)))
            kinds = [oracle_session.kind(column) for column in cursor.description]
        names = [column.key for column in query.selected_columns]
        return {str(name): kind for name, kind in zip(names, kinds, strict=True) if kind}

    def exact(self, column: ColumnElement[Any], kind: str | None) -> ColumnElement[Any]:
        """A time with a zone comes in UTC; one with more than six digits of the second comes as text."""
        if kind is None:
            return column
        there: ColumnElement[Any] = column.op("AT TIME ZONE")(_UTC) if kind.startswith("zoned") else column
        if not kind.endswith("fine"):
            return there
        return sa.func.to_char(there, sa.literal_column(_FINE % ('"Z"' if kind.startswith("zoned") else "")))

    def ordered(self, column: ColumnElement[Any], kind: str | None) -> ColumnElement[Any]:
        """The column itself; raises CursorTooFineError."""
        if kind is not None and kind.endswith("fine"):
            raise CursorTooFineError(f"{column.key} has more than six digits of the second")
        return column

    def after(self, columns: Columns, values: Columns) -> ColumnElement[bool]:
        return spelt_after(columns, values)

    def within(self, columns: Columns, first: Columns, last: Columns) -> ColumnElement[bool]:
        return spelt_within(columns, first, last)
