"""SQL Server from 2016, by pytds."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Select
from sqlalchemy.dialects import registry
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.sql.elements import ColumnElement

from exchange.connect.dialects.dialect import Cautions, statement
from exchange.connect.dialects.merge_dialect import MergeDialect
from exchange.connect.dialects.merge_types import SQL_SERVER
from exchange.connect.postgres import LOCK_S

# What can stand behind the ? of a URL.
_OPTIONS = ("cafile",)
_DESCRIBED = sa.text(
    "SELECT name, system_type_name FROM sys.dm_exec_describe_first_result_set(:query, NULL, 0)"
    " WHERE is_hidden = 0 ORDER BY column_ordinal"
)
_STATE = sa.text(
    "SELECT object_id, column_id, name, system_type_id, user_type_id, max_length, precision, scale, is_nullable,"
    " collation_name FROM sys.columns WHERE object_id = OBJECT_ID(CAST(:name AS nvarchar(520))) ORDER BY column_id"
)
_INEXACT = sa.text(
    "SELECT name, collation_name FROM sys.columns WHERE object_id = OBJECT_ID(CAST(:name AS nvarchar(520)))"
    " AND RIGHT(collation_name, 5) <> '_BIN2'"
)
_MAKING = (
    "SET NOCOUNT ON; DECLARE @got int; EXEC @got = sp_getapplock @Resource = N'exchange', @LockMode = 'Exclusive',"
    f" @LockOwner = 'Transaction', @LockTimeout = {LOCK_S * 1000}; SELECT @got"
)
_TEXTS = ("char", "varchar", "nchar", "nvarchar", "text", "ntext")
# Types whose values the driver would cut off, or that the server would not find again as what the driver makes of them:
# as text, in a form (of CONVERT) that means the same in every language. A type without digits has 7.
_AS_TEXT: Mapping[str | None, tuple[str, ...]] = {
    "datetime": ("nvarchar(30)", "126"),
    "smalldatetime": ("nvarchar(30)", "126"),
    "datetime2(7)": ("nvarchar(30)", "126"),
    "datetimeoffset(7)": ("nvarchar(40)", "127"),
    "time(7)": ("nvarchar(20)",),
}


class SqlServer(MergeDialect):
    """SQL Server. It compares no pairs, and takes texts for equal that differ in case or in blanks at their end.

    The kinds of its columns: `text`, and the types of `_AS_TEXT`.
    """

    name, title, drivername = "mssql", "SQL Server", "mssql+pytds"
    example, extra = "mssql://user@host/database", "mssql"
    types = SQL_SERVER
    longest_name, name_unit = 128, "characters"
    folds_names = True

    def __init__(self) -> None:
        registry.register("mssql.pytds", f"{__package__}.sqlserver_session", "PytdsDialect")

    def fault(self, url: URL) -> str | None:
        if wrong := ", ".join(name for name in url.query if name not in _OPTIONS):
            return f"has {wrong}, but behind its ? goes only {', '.join(_OPTIONS)}"
        if not url.host or not url.database:
            return "has to name a host and a database"
        if "cafile" in url.query and not Path(str(url.query["cafile"])).is_file():
            return "names a cafile that is not there"
        return None

    def engine(self, url: URL, timeout_s: float, *, writes: bool) -> Engine:
        from exchange.connect.dialects import sqlserver_session

        return sa.create_engine(
            url, hide_parameters=True, pool_pre_ping=True, creator=lambda: sqlserver_session.connect(url, timeout_s)
        )

    def stream(self, connection: Connection, query: Select[Any]) -> Generator[Sequence[Any], None, None]:
        from exchange.connect.dialects import sqlserver_session

        driver: Any = connection.connection.driver_connection
        yield from sqlserver_session.stream(driver, *statement(connection, query), connection.invalidate)

    def kinds(self, connection: Connection, query: Select[Any]) -> Mapping[str, str]:
        said, _ = statement(connection, query.limit(0))
        kinds = {}
        for name, of_type in connection.execute(_DESCRIBED, {"query": said % ()}):
            if of_type in _AS_TEXT:
                kinds[name] = of_type
            elif of_type.partition("(")[0] in _TEXTS:
                kinds[name] = "text"
        return kinds

    def exact(self, column: ColumnElement[Any], kind: str | None) -> ColumnElement[Any]:
        if kind not in _AS_TEXT:
            return column
        form: list[ColumnElement[Any]] = [sa.literal_column(part) for part in _AS_TEXT[kind]]
        return sa.func.convert(form[0], column, *form[1:])

    def ordered(self, column: ColumnElement[Any], kind: str | None) -> ColumnElement[Any]:
        """Text by its bytes in UTF-16; what comes as text for other reasons by itself."""
        if kind != "text":
            return column
        wide = sa.func.convert(sa.literal_column("nvarchar(4000)"), column)
        return sa.func.convert(sa.literal_column("varbinary(8000)"), wide)

    def place(self, value: Any, kind: str | None) -> Any:
        if kind != "text" or not isinstance(value, str):
            return value
        from pytds import Binary

        return Binary(value.encode("utf-16-le"))

    @contextmanager
    def making(self, engine: Engine) -> Iterator[Connection]:
        from exchange.connect.dialects import sqlserver_session

        with engine.begin() as connection:
            if int(connection.exec_driver_sql(_MAKING).scalar_one()) < 0:
                raise sqlserver_session.locked()
            yield connection

    def state(self, connection: Connection, table: str, schema: str | None) -> str:
        rows = connection.execute(_STATE, {"name": _quoted(table, schema)}).all()
        return str(rows) if rows else ""

    def cautions(self, connection: Connection, table: str, schema: str | None) -> Cautions:
        inexact = connection.execute(_INEXACT, {"name": _quoted(table, schema)})
        return Cautions(blurred={self.fold(name): collation for name, collation in inexact}, pads=True)

    def some(self, change: Any, table: sa.TableClause, wanted: ColumnElement[bool], at_most: int) -> Any:
        return change.prefix_with(f"TOP ({at_most})").where(wanted)

    def check_deferred(self, connection: Connection) -> None:
        """There are no deferred constraints."""

    @contextmanager
    def in_time(self, connection: Connection, seconds: float) -> Iterator[None]:
        """Within the database's `timeout_s`: the server has no limit for statements, and the driver no other one."""
        yield


def _quoted(table: str, schema: str | None) -> str:
    """The table's name as OBJECT_ID takes it."""
    parts = [schema, table] if schema else [table]
    return ".".join(f"[{part.replace(']', ']]')}]" for part in parts)
