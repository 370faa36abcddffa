"""KingbaseES and openGauss, as sources: they speak PostgreSQL's protocol, so psycopg reads them.

Neither may be asked for anything newer than the PostgreSQL from which it descends (openGauss: 9.2.4), and `version()`
says nothing that SQLAlchemy understands. Rows come one by one; what is no type of PostgreSQL's comes as text.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, ClassVar

from sqlalchemy import Select
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.engine import URL, Connection, Engine

from exchange.connect import postgres
from exchange.connect.dialects import postgresql
from exchange.connect.dialects.dialect import Dialect, statement

_OLDEST = (9, 2)  # of which PostgreSQL a server counts that does not say it


class KinDialect(PGDialect_psycopg):
    """SQLAlchemy's dialect of PostgreSQL, for a server whose `version()` is not PostgreSQL's."""

    supports_statement_cache = True

    def _get_server_version_info(self, connection: Any) -> tuple[int, ...]:
        number = connection.connection.driver_connection.info.server_version  # 90204: of which PostgreSQL it comes
        return (number // 10_000, number // 100 % 100) if number else _OLDEST


class _Kin(Dialect):
    limits_locks: ClassVar[bool]

    def __init__(self) -> None:
        registry.register(self.drivername.replace("+", "."), __name__, KinDialect.__name__)

    def engine(self, url: URL, timeout_s: float, *, writes: bool) -> Engine:
        parameters = postgres.parameters(url.query, timeout_s, limits_locks=self.limits_locks)
        return postgresql.engine(url, timeout_s, parameters)

    def stream(self, connection: Connection, query: Select[Any]) -> Generator[Sequence[Any], None, None]:
        yield from postgres.stream(connection.connection.driver_connection, *statement(connection, query))


class KingbaseES(_Kin):
    """KingbaseES from V8R6."""

    name, title, drivername = "kingbase", "KingbaseES", "kingbase+psycopg"
    example = "kingbase://user@host:54321/database"
    limits_locks = True


class OpenGauss(_Kin):
    """OpenGauss, and GaussDB that is made of it; only its administrators may limit how long a lock is waited for."""

    name, title, drivername = "opengauss", "openGauss", "opengauss+psycopg"
    example = "opengauss://user@host/database"
    limits_locks = False
