"""A source that reads a table or query of a real MariaDB, without Kafka."""

from __future__ import annotations

from typing import Any

from exchange.connect.config import Cursor, Database, SourceConfig
from exchange.connect.database import engine
from exchange.connect.sql_source import SqlSource
from tests.rigs.postgres_source import HERE


def source(url: str, *, fetch_rows: int | None = None, timeout_s: float = 300, **config: Any) -> SqlSource:
    origin = {} if "query" in config else {"table": "t"}
    cursor = config.pop("cursor", Cursor(time="at", id="id"))
    made = SourceConfig(subject="a.b", cursor=cursor, **{"page_rows": 100, **origin, **config})
    return SqlSource(made, engine(Database(url=url, timeout_s=timeout_s), HERE), None, fetch_rows=fetch_rows)
