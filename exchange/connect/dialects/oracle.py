"""Oracle from 12.1 (a sink: from 12.2), by oracledb without Oracle's own client."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Select, event
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.sql.elements import ColumnElement

from exchange.connect.dialects.dialect import Cautions, statement
from exchange.connect.dialects.merge_dialect import MergeDialect
from exchange.connect.dialects.merge_types import ORACLE
from exchange.errors import ConfigError

# What can stand behind the ? of a URL.
_OPTIONS = ("sid", "protocol", "wallet_location", "ssl_server_cert_dn")
_UTC: ColumnElement[Any] = sa.literal_column("'+00:00'")
# Words that no name can be without quotes, or not everywhere, and that SQLAlchemy does not know: V$RESERVED_WORDS.
_RESERVED = frozenset(
    {"access", "add", "audit", "column", "file", "immediate", "increment", "initial", "maxextents", "mlslabel",
     "modify", "noaudit", "offline", "online", "partition", "privileges", "row", "rowid", "rownum", "rows", "session",
     "successful", "sysdate", "to", "validate", "whenever"}
)  # fmt: skip
_ENCODING = sa.text("SELECT value FROM nls_database_parameters WHERE parameter = 'NLS_CHARACTERSET'")
_WITHOUT_LOSS = ("AL32UTF8", "UTF8")
_OF_TABLE = "WHERE owner = NVL(:schema, SYS_CONTEXT('USERENV', 'CURRENT_SCHEMA')) AND table_name = :name"
_STATE = sa.text(
    "SELECT column_name, data_type, char_length, data_precision, data_scale, nullable, column_id"
    f" FROM all_tab_columns {_OF_TABLE} ORDER BY column_id"
)
_COARSE = sa.text(
    f"SELECT column_name, data_scale FROM all_tab_columns {_OF_TABLE}"
    " AND data_type LIKE 'TIMESTAMP%' AND data_scale < 6"
)
# Nine digits of the second, of which the driver would cut off three.
_FINE = "'YYYY-MM-DD\"T\"HH24:MI:SS.FF9%s'"


class CursorTooFineError(ConfigError):
    """A source's cursor has times that the driver would cut off after the microsecond, so that rows would be missed."""

    code = "cursor-too-fine"
    remedy = "name a `query` that rounds the column: CAST(… AS TIMESTAMP(6)), or … AS TIMESTAMP(6) WITH TIME ZONE"


class Oracle(MergeDialect):
    """Oracle. Its DATE has a time, its empty text is null, it compares no pairs, and it commits when a table is made.

    The kinds of its columns: `zoned` and `fine`, for times with a zone and with more than six digits of the second.
    """

    name, title, drivername = "oracle", "Oracle", "oracle+oracledb"
    example, extra = "oracle://user@host/service", "oracle"
    types = ORACLE
    longest_name = 128
    folds_names = True
    undoes_ddl = False

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
            oracle_session.prepare(connection, writes=writes)

        if writes:
            prepared: Any = made.dialect.identifier_preparer
            prepared.reserved_words = prepared.reserved_words | _RESERVED
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

    @contextmanager
    def making(self, engine: Engine) -> Iterator[Connection]:
        """Every lock that needs no right ends when a table is made: who comes too late fails, and waits."""
        with engine.begin() as connection:
            yield connection

    def state(self, connection: Connection, table: str, schema: str | None) -> str:
        rows = connection.execute(_STATE, self._place(connection, table, schema)).all()
        return str(rows) if rows else ""

    def cautions(self, connection: Connection, table: str, schema: str | None) -> Cautions:
        encoding = str(connection.scalar(_ENCODING))
        fault = None if encoding in _WITHOUT_LOSS else f"the database's {encoding} would replace characters"
        coarse = connection.execute(_COARSE, self._place(connection, table, schema))
        return Cautions(fault, coarse={self.fold(name): digits for name, digits in coarse}, nulls_empty=True)

    def some(self, change: Any, table: sa.TableClause, wanted: ColumnElement[bool], at_most: int) -> Any:
        return change.where(wanted, sa.literal_column("ROWNUM") <= at_most)

    def check_deferred(self, connection: Connection) -> None:
        connection.exec_driver_sql("SET CONSTRAINTS ALL IMMEDIATE")

    @contextmanager
    def in_time(self, connection: Connection, seconds: float) -> Iterator[None]:
        driver: Any = connection.connection.driver_connection
        usual, driver.call_timeout = driver.call_timeout, int(seconds * 1000)
        try:
            yield
        finally:
            driver.call_timeout = usual

    @staticmethod
    def _place(connection: Connection, table: str, schema: str | None) -> dict[str, str | None]:
        """The table as the catalogue has it: names in small letters are in large ones there."""
        stored: Any = connection.dialect
        return {"schema": schema and stored.denormalize_name(schema), "name": stored.denormalize_name(table)}
