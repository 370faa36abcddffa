"""KingbaseES and openGauss: they speak PostgreSQL's protocol, so psycopg reads and writes them.

Neither may be asked for anything newer than the PostgreSQL from which it descends (openGauss: 9.2.4), and `version()`
says nothing that SQLAlchemy understands. Rows come and go one by one; what is no type of PostgreSQL's comes as text.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, ClassVar

import sqlalchemy as sa
from sqlalchemy import Select
from sqlalchemy.dialects import postgresql as sa_postgresql
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.engine import URL, Connection, Engine

from exchange.connect import postgres
from exchange.connect.dialects import postgresql
from exchange.connect.dialects.dialect import Cautions, Dialect, statement
from exchange.connect.dialects.merge import Upsert
from exchange.connect.dialects.merge_types import OPENGAUSS_MERGE
from exchange.connect.sink_values import Type, kind
from exchange.schema.types import Field

_OLDEST = (9, 2)  # of which PostgreSQL a server counts that does not say it
# In the Oracle mode of both, an empty text is null; in KingbaseES, a setting can change that at any time.
_NULLS_EMPTY = "CASE WHEN '' IS NULL THEN 1 ELSE 0 END"
_STATE = sa.text(
    "SELECT concat_ws(' ', attrelid, string_agg(concat_ws(' ', attname, atttypid, atttypmod, attnotnull),"
    f" ', ' ORDER BY attnum), {_NULLS_EMPTY}) FROM pg_attribute a"
    " JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE relname = CAST(:name AS text) AND nspname = COALESCE(CAST(:schema AS text), CAST(current_schema() AS text))"
    " AND attnum > 0 AND NOT attisdropped GROUP BY attrelid"
)


class KinDialect(PGDialect_psycopg):
    """SQLAlchemy's dialect of PostgreSQL, for a server whose `version()` is not PostgreSQL's."""

    supports_statement_cache = True

    def _get_server_version_info(self, connection: Any) -> tuple[int, ...]:
        number = connection.connection.driver_connection.info.server_version  # 90204: of which PostgreSQL it comes
        return (number // 10_000, number // 100 % 100) if number else _OLDEST


class _Kin(postgresql.PostgreSQL):
    limits_locks: ClassVar[bool]
    copies = binds_plainly = False

    def __init__(self) -> None:
        registry.register(self.drivername.replace("+", "."), __name__, KinDialect.__name__)

    def engine(self, url: URL, timeout_s: float, *, writes: bool) -> Engine:
        parameters = postgres.parameters(url.query, timeout_s, limits_locks=self.limits_locks)
        # openGauss and its relatives take no MERGE that was prepared.
        return postgresql.engine(url, timeout_s, {**parameters, "prepare_threshold": None})

    def stream(self, connection: Connection, query: Select[Any]) -> Generator[Sequence[Any], None, None]:
        yield from postgres.stream(connection.connection.driver_connection, *statement(connection, query))

    def about(self, connection: Connection, query: Select[Any]) -> int | None:
        return None

    def keeps(self, field: Field, column: Type) -> bool:
        """In the Oracle mode of both, a DATE is made a timestamp: a date is its midnight."""
        is_date = kind(field) == "date" and type(column) is sa_postgresql.TIMESTAMP and not column.timezone
        return is_date or super().keeps(field, column)

    def takes_columns(self, connection: Connection) -> bool:
        return False

    def state(self, connection: Connection, table: str, schema: str | None) -> str:
        return str(connection.scalar(_STATE, {"name": table, "schema": schema}) or "")

    def sealed(self, connection: Connection, table: str, schema: str | None) -> str:
        return Dialect.sealed(self, connection, table, schema)

    def cautions(self, connection: Connection, table: str, schema: str | None) -> Cautions:
        return Cautions(nulls_empty=connection.scalar(sa.text(f"SELECT {_NULLS_EMPTY}")) == 1)


class KingbaseES(_Kin):
    """KingbaseES from V8R6."""

    name, title, drivername = "kingbase", "KingbaseES", "kingbase+psycopg"
    example = "kingbase://user@host:54321/database"
    limits_locks = True


class OpenGauss(_Kin):
    """OpenGauss, and GaussDB that is made of it. It has no ON CONFLICT.

    Only its administrators may limit how long a lock is waited for.
    """

    name, title, drivername = "opengauss", "openGauss", "opengauss+psycopg"
    example = "opengauss://user@host/database"
    limits_locks = False

    def insert(self, table: Any) -> Any:
        return Upsert(table, OPENGAUSS_MERGE)
