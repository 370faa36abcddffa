"""Dameng (DM8), by dmPython."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Select
from sqlalchemy.dialects import registry
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.sql.elements import ColumnElement

from exchange.connect.dialects.dialect import Cautions
from exchange.connect.dialects.merge_dialect import MergeDialect
from exchange.connect.dialects.merge_types import DAMENG
from exchange.connect.sink_values import Type
from exchange.errors import ConfigError

_UTF8 = 1
_LOOKED_INTO = (0, 2)  # values of COMPATIBLE_MODE: none, and Oracle's
_MODE = "SF_GET_PARA_VALUE(2, 'COMPATIBLE_MODE')"
# Where it passes for Oracle, an empty text is stored as such, and shown as null.
_SETTINGS = sa.text(
    f"SELECT SF_GET_UNICODE_FLAG(), SF_GET_CASE_SENSITIVE_FLAG(), {_MODE},"
    f" CASE WHEN '' IS NULL OR {_MODE} = 2 THEN 1 ELSE 0 END FROM dual"
)
_OF_TABLE = "FROM all_tab_columns WHERE owner = :schema AND table_name = :name"
_STATE = sa.text(
    "SELECT column_name, data_type, data_length, data_precision, data_scale, nullable, column_id,"
    f" {_MODE} {_OF_TABLE} ORDER BY column_id"
)
_COARSE = sa.text(
    f"SELECT column_name, data_scale {_OF_TABLE} AND data_scale < 6"
    " AND (data_type LIKE 'TIMESTAMP%' OR data_type LIKE 'DATETIME%')"
)
_FORMS: Mapping[str, str] = {
    "fine": "'YYYY-MM-DD HH24:MI:SS.FF9'",
    "zoned": "'YYYY-MM-DD HH24:MI:SS.FF9 TZH:TZM'",
    "time": "'HH24:MI:SS.FF6'",
}
_CASTS: Mapping[str, Type] = {"single": sa.DOUBLE_PRECISION(), "bytes": sa.BLOB(), "text": sa.CLOB()}


class CursorCutError(ConfigError):
    """A source's cursor has a type of which the driver cuts something off, so that rows would be missed."""

    code = "cursor-cut"
    remedy = "name a `query` that makes the column a TIMESTAMP(6): CAST(… AS TIMESTAMP(6))"


class Dameng(MergeDialect):
    """Dameng. It takes texts for equal that differ in blanks at their end, and commits when a table is made.

    The kinds of its columns: `fine` and `zoned` times, with more than six digits of the second and with a zone, and
    `time`s of day come as text; `single`s, of 32 bits, as doubles; long `bytes` and `text` of a fixed length as LOBs.
    """

    name, title, drivername = "dameng", "Dameng", "dameng+dmPython"
    example, extra = "dameng://user@host:5236", "dameng"
    types = DAMENG
    longest_name = 128
    folds_names = True
    undoes_ddl = False

    def __init__(self) -> None:
        registry.register("dameng.dmPython", f"{__package__}.dameng_session", "DamengDialect")

    def fault(self, url: URL) -> str | None:
        if not url.host:
            return "names no host"
        if url.database or url.query:
            return "has something behind the port; a schema goes before the table: tax.income"
        return None

    def engine(self, url: URL, timeout_s: float, *, writes: bool) -> Engine:
        from exchange.connect.dialects import dameng_session

        return sa.create_engine(
            url, hide_parameters=True, pool_pre_ping=True, creator=lambda: dameng_session.connect(url, timeout_s)
        )

    def stream(self, connection: Connection, query: Select[Any]) -> Generator[Sequence[Any], None, None]:
        from exchange.connect.dialects import dameng_session

        driver: Any = connection.connection.driver_connection
        yield from dameng_session.stream(driver, *_statement(connection, query), connection.invalidate)

    def kinds(self, connection: Connection, query: Select[Any]) -> Mapping[str, str]:
        from exchange.connect.dialects import dameng_session

        driver: Any = connection.connection.driver_connection
        kinds = dameng_session.described(driver, *_statement(connection, query.limit(0)))
        names = [column.key for column in query.selected_columns]
        return {str(name): kind for name, kind in zip(names, kinds, strict=True) if kind}

    def exact(self, column: ColumnElement[Any], kind: str | None) -> ColumnElement[Any]:
        if kind is None:
            return column
        if kind in _CASTS:
            return sa.cast(column, _CASTS[kind])
        return sa.func.to_char(column, sa.literal_column(_FORMS[kind]))

    def ordered(self, column: ColumnElement[Any], kind: str | None) -> ColumnElement[Any]:
        """The column itself; raises CursorCutError."""
        if kind is not None:
            raise CursorCutError(f"{column.key} is a {kind} value, of which the driver cuts something off")
        return column

    @contextmanager
    def making(self, engine: Engine) -> Iterator[Connection]:
        """As in Oracle: who comes too late fails, and waits."""
        with engine.begin() as connection:
            yield connection

    def state(self, connection: Connection, table: str, schema: str | None) -> str:
        rows = connection.execute(_STATE, _place(connection, table, schema)).all()
        return str(rows) if rows else ""

    def cautions(self, connection: Connection, table: str, schema: str | None) -> Cautions:
        charset, tells_case, mode, nulls_empty = map(int, connection.execute(_SETTINGS).one())
        fault = None
        if charset != _UTF8:
            fault = "the database is not in UTF-8 (CHARSET 1), and may replace characters"
        elif not tells_case:
            fault = "the database takes texts for equal that differ in case (CASE_SENSITIVE 0)"
        elif mode not in _LOOKED_INTO:
            fault = f"what the database does with values in its COMPATIBLE_MODE {mode} is unknown"
        coarse = connection.execute(_COARSE, _place(connection, table, schema))
        return Cautions(
            fault,
            coarse={self.fold(name): digits for name, digits in coarse},
            nulls_empty=bool(nulls_empty),
            pads=True,
        )

    def some(self, change: Any, table: sa.TableClause, wanted: ColumnElement[bool], at_most: int) -> Any:
        return change.where(wanted, sa.literal_column("ROWNUM") <= at_most)

    def check_deferred(self, connection: Connection) -> None:
        """There are no deferred constraints."""

    @contextmanager
    def in_time(self, connection: Connection, seconds: float) -> Iterator[None]:
        """Within the database's `timeout_s`: the driver has no other limit."""
        yield


def _place(connection: Connection, table: str, schema: str | None) -> dict[str, str]:
    dialect: Any = connection.dialect
    found: dict[str, str] = dialect.place(table, schema)
    return found


def _statement(connection: Connection, query: Select[Any]) -> tuple[str, list[Any]]:
    """The query as the driver takes it, and its parameters in their order."""
    compiled: Any = query.compile(connection, compile_kwargs={"render_postcompile": True})
    return str(compiled), [compiled.params[name] for name in compiled.positiontup or ()]
