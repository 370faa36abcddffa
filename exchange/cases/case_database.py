"""The database in which a department's cases, its questions and its answers are rows: that of its connector."""

from __future__ import annotations

from exchange.connect import database
from exchange.connect.config import Database
from exchange.connect.database import DatabaseConfigError, Paths
from exchange.connect.dialects import known as dialects
from exchange.connect.load import Connector


def own_database(connector: Connector, paths: Paths) -> Database:
    """The connector's database; raises DatabaseConfigError if there is none, or one that cannot do it."""
    chosen = connector.config.database
    if chosen is None:
        raise DatabaseConfigError("cases need a database", remedy="give `database: …` at the file's top")
    dialect = dialects.named(database.url(chosen, paths).get_backend_name())
    if dialect is None or dialect.name not in ("sqlite", "postgresql"):
        kind = dialect.title if dialect else "this database"
        raise DatabaseConfigError(f"cases do not work with {kind}", remedy="name SQLite or PostgreSQL as `database`")
    return chosen
