"""PostgreSQL, by psycopg."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import psycopg.sql
import sqlalchemy as sa
from sqlalchemy import Select, event
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import DisconnectionError

from exchange.connect import postgres
from exchange.connect.dialects import postgresql_types
from exchange.connect.dialects.dialect import Dialect, statement
from exchange.connect.sink_values import Adapter, Type, or_null
from exchange.schema.types import Field

_MAKING = 0x65786368  # the lock, between all connectors of a database
_MAY_MAKE_TEMPORARY = sa.text("SELECT has_database_privilege(current_database(), 'TEMPORARY')")
_SINCE, _REST_S = "rests since", 1.0  # a connection that was used a moment ago is there still
_IMMEDIATE = "SET CONSTRAINTS ALL IMMEDIATE"
_STATE = (
    "SELECT concat_ws(' ', attrelid, string_agg(concat_ws(' ', attname, atttypid, atttypmod, attnotnull),"
    " ', ' ORDER BY attnum)) FROM pg_attribute"
    " WHERE attrelid = to_regclass({}) AND attnum > 0 AND NOT attisdropped GROUP BY attrelid"
)


@lru_cache
def _state_of(name: str) -> str:
    return psycopg.sql.SQL(_STATE).format(psycopg.sql.Literal(name)).as_string()


class PostgreSQL(Dialect):
    """PostgreSQL."""

    name, title, drivername = "postgresql", "PostgreSQL", "postgresql+psycopg"
    example = "postgresql://user@host/database"
    longest_name = 63
    row_id = "ctid"
    copies = True
    binds_plainly = True

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
        return self._state(connection, table, schema, "")

    def _state(self, connection: Connection, table: str, schema: str | None, before: str) -> str:
        """The state after another statement, in one request: the text of both is plain, so neither is prepared."""
        quote = connection.dialect.identifier_preparer.quote
        name = ".".join(quote(part) for part in (schema, table) if part)
        driver: Any = connection.connection.driver_connection
        cursor = driver.execute(before + _state_of(name), prepare=False)
        while cursor.nextset():
            pass
        found = cursor.fetchone()
        return str(found[0] or "") if found else ""

    def check_deferred(self, connection: Connection) -> None:
        connection.exec_driver_sql(_IMMEDIATE)

    def sealed(self, connection: Connection, table: str, schema: str | None) -> str:
        return self._state(connection, table, schema, f"{_IMMEDIATE}; ")

    @contextmanager
    def in_time(self, connection: Connection, seconds: float) -> Iterator[None]:
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = {int(seconds * 1000)}")
        yield


def engine(url: URL, timeout_s: float, parameters: Mapping[str, Any]) -> Engine:
    """An engine of SQLAlchemy whose connections are those of `postgres`; one that rested is tried before it is used."""
    made = sa.create_engine(url, hide_parameters=True, connect_args=dict(parameters))

    @event.listens_for(made, "do_connect")
    def _connect(_dialect: object, _record: object, arguments: Any, given: Any) -> postgres.Connection:
        return postgres.connect(arguments, given, timeout_s)

    @event.listens_for(made, "checkin")
    def _rest(_connection: object, record: Any) -> None:
        record.info[_SINCE] = time.monotonic()

    @event.listens_for(made, "checkout")
    def _try(connection: Any, record: Any, _proxy: object) -> None:
        if time.monotonic() - record.info.get(_SINCE, float("inf")) > _REST_S:
            try:
                made.dialect.do_ping(connection)
            except psycopg.Error as error:
                raise DisconnectionError from error  # the pool makes another

    return made
