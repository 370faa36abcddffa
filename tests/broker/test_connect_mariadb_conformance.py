"""Tables and queries of MariaDB pass the conformance suite of sources, whatever identifies their rows."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any

import pytest

from exchange.connect.config import Cursor, Database, SourceConfig
from exchange.connect.database import engine
from exchange.connect.source import Row, Source
from exchange.connect.sql_source import SqlSource
from exchange.connect.testing import Origin, SourceConformance
from tests.rigs.mariadb import connect, run
from tests.rigs.sql_source import HERE

HOSTILE = "a `quoted` %s; DROP TABLE rows --"


class MariaDBOrigin(Origin):
    """A table whose names would break a statement that does not quote them; `id_type` is the cursor's id's."""

    def __init__(
        self, url: str, *, id_type: str, step_s: float = 10.0, query: bool = False, fetch_rows: int = 10
    ) -> None:
        self._url, self._id_type, self._step_s = url, id_type, step_s
        self.fetch_rows = fetch_rows
        name = HOSTILE.replace("`", "``")
        run(url, f"CREATE TABLE `{name}` (`select` {id_type}, `{name}` text, `now()` datetime(6))")
        self._insert = f"INSERT INTO `{name}` VALUES (%s, %s, %s)".replace("%s;", "%%s;")
        origin: dict[str, Any] = {"query": f"SELECT * FROM `{name}`;"} if query else {"table": HOSTILE}
        self._config = SourceConfig(
            subject="a.b", cursor=Cursor(time="now()", id="select"), lookback_s=60, page_rows=10, **origin
        )

    def source(self) -> Source:
        return SqlSource(self._config, engine(Database(url=self._url), HERE), None, fetch_rows=self.fetch_rows)

    def add(self, serials: Iterable[int]) -> None:
        start = datetime(2025, 1, 1)
        rows = [(s, "x\0y\N{BELL}\\\n", start + timedelta(seconds=s * self._step_s)) for s in serials]
        with closing(connect(self._url)) as connection, connection.cursor() as cursor:
            cursor.executemany(self._insert, rows)

    def serial(self, row: Row) -> int:
        assert row[HOSTILE] == "x\0y\N{BELL}\\\n"
        return int(row["select"])


@pytest.mark.parametrize("id_type", ["bigint unsigned", "varchar(20)"])
class TestTable(SourceConformance):
    @pytest.fixture
    def origin(self, mariadb_database: str, id_type: str) -> Origin:
        return MariaDBOrigin(mariadb_database, id_type=id_type)


@pytest.mark.parametrize("id_type", ["bigint unsigned", "varchar(20)"])
class TestTableOfOneTimestamp(SourceConformance):
    @pytest.fixture
    def origin(self, mariadb_database: str, id_type: str) -> Origin:
        return MariaDBOrigin(mariadb_database, id_type=id_type, step_s=0)


@pytest.mark.parametrize("id_type", ["int"])
class TestQuery(SourceConformance):
    @pytest.fixture
    def origin(self, mariadb_database: str, id_type: str) -> Origin:
        return MariaDBOrigin(mariadb_database, id_type=id_type, query=True, fetch_rows=35)
