"""PostgreSQL, by psycopg."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Select, event
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import URL, Connection, Engine

from exchange.connect import postgres
from exchange.connect.dialects import postgresql_types
from exchange.connect.dialects.dialect import Dialect, statement
from exchange.connect.sink_values import Adapter, Type, or_null
from exchange.schema.types import Field

_MAKING = 0x65786368  # the lock, between all connectors of a database
_MAY_MAKE_TEMPORARY = sa.text("SELECT has_database_privilege(current_database(), 'TEMPORARY')")
_STATE = sa.text(
    "SELECT concat_ws(' ', attrelid, string_agg(concat_ws(' ', attname, atttypid, atttypmod, attnotnull),"
    " ', ' ORDER BY attnum)) FROM pg_attribute"
    " WHERE attrelid = to_regclass(:name) AND attnum > 0 AND NOT attisdropped GROUP BY attrelid"
)


class PostgreSQL(Dialect):
    """PostgreSQL."""

    name, title, drivername = "postgresql", "PostgreSQL", "postgresql+psycopg"
    example = "postgresql://user@host/database"
    longest_name = 63
    row_id = "ctid"
    copies = True

    def engine(self, url: URL, timeout_s: float, *, writes: bool) -> Engine:
        return engine(url, timeout_s, postgres.parameters(url.query, timeout_s))

    def stream(self, connection: Connection, query: Select[Any]) -> Generator[Sequence[Any], None, None]:
        # SQLAlchemy would fetch all rows, or a fixed number of them, whatever their size.
        yield from postgres.stream(connection.connection.driver_connection, *statement(connection, query))

    def about(self, connection: Connection, query: Select[Any]) -> int | None:
        said, values = statement(connection, query)
        [plan] = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {said}", values).scalar_one()
        return int(plan["Plan"]["Plan Rows"])

    def column_type(self, field: Field, key_size: int = 0) -> Type:
        return postgresql_types.column_type(field)

    def type_name(self, column: Type) -> str:
        return postgresql_types.type_name(column)

    def keeps(self, field: Field, column: Type) -> bool:
        return postgresql_types.keeps(field, column)

    def adapter(self, field: Field, column: Type) -> Adapter:
        return or_null(postgresql_types.adapter(field, column))

    def insert(self, table: Any) -> Any:
        return postgresql.insert(table)

    def takes_columns(self, connection: Connection) -> bool:
        """Rows come by a temporary table."""
        return bool(connection.scalar(_MAY_MAKE_TEMPORARY))

    @contextmanager
    def making(self, engine: Engine) -> Iterator[Connection]:
        with engine.begin() as connection:
            # One lock per database, so that a database that hangs blocks no other.
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MAKING)))
            yield connection

    def state(self, connection: Connection, table: str, schema: str | None) -> str:
        name = connection.dialect.identifier_preparer.format_table(sa.Table(table, sa.MetaData(schema=schema)))
        return str(connection.scalar(_STATE, {"name": name}) or "")

    def check_deferred(self, connection: Connection) -> None:
        connection.exec_driver_sql("SET CONSTRAINTS ALL IMMEDIATE")

    @contextmanager
    def in_time(self, connection: Connection, seconds: float) -> Iterator[None]:
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = {int(seconds * 1000)}")
        yield


def engine(url: URL, timeout_s: float, parameters: Mapping[str, Any]) -> Engine:
    """An engine of SQLAlchemy whose connections are those of `postgres`."""
    made = sa.create_engine(url, hide_parameters=True, pool_pre_ping=True, connect_args=dict(parameters))

    @event.listens_for(made, "do_connect")
    def _connect(_dialect: object, _record: object, arguments: Any, given: Any) -> postgres.Connection:
        return postgres.connect(arguments, given, timeout_s)

    return made
