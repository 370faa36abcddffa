"""The databases that a connector can use, by the names that a URL gives them."""

from __future__ import annotations

from importlib.util import find_spec

from sqlalchemy.engine import Engine

from exchange.connect.dialects.dameng import Dameng
from exchange.connect.dialects.dialect import Dialect
from exchange.connect.dialects.mysql import MySQL
from exchange.connect.dialects.oracle import Oracle
from exchange.connect.dialects.postgresql import PostgreSQL
from exchange.connect.dialects.postgresql_kin import KingbaseES, OpenGauss
from exchange.connect.dialects.sqlite import SQLite
from exchange.connect.dialects.sqlserver import SqlServer

KNOWN: tuple[Dialect, ...] = (
    SQLite(),
    PostgreSQL(),
    MySQL(),
    KingbaseES(),
    OpenGauss(),
    Oracle(),
    SqlServer(),
    Dameng(),
)
_ALIASES = {"postgres": "postgresql", "mariadb": "mysql", "sqlserver": "mssql", "dm": "dameng"}


def named(backend: str) -> Dialect | None:
    """The dialect of a URL that begins so; None if it is not known."""
    name = backend.lower()
    return next((dialect for dialect in KNOWN if dialect.name == _ALIASES.get(name, name)), None)


def of(engine: Engine) -> Dialect:
    """The dialect of an engine that this room made."""
    dialect = named(engine.url.get_backend_name())
    assert dialect is not None
    return dialect


def lacks_driver(dialect: Dialect) -> bool:
    """Whether pip still has to install what the dialect needs."""
    return dialect.extra is not None and find_spec(dialect.drivername.partition("+")[2]) is None
