"""Names in connector.yaml are names: quoted, whatever is in them, on SQLite and on PostgreSQL."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from exchange import logs
from exchange.connect.config import Database, SinkConfig, SourceConfig
from exchange.connect.database import Paths, engine
from exchange.connect.row_change import RecordOrigin
from exchange.connect.sink_table import SinkTable
from exchange.connect.sql_source import SqlSource
from exchange.errors import ExchangeError
from exchange.ledger.store import LedgerStore
from exchange.schema import avro

NAMES = (
    'a"; DROP TABLE kept; --',
    "a'; DROP TABLE kept; --",
    "kept WHERE 1=0 --",
    "a) VALUES (1); --",
    "a b",
    "a:bound",
    "a%s %(x)s %%",
    "a\\",
    "a]b`c",
    "SELECT",
    "a?b",
    "{a}",
    "表",
)


def schema(*fields: str) -> avro.Schema:
    return avro.parse(
        json.dumps({"type": "record", "name": "R", "fields": [{"name": name, "type": "string"} for name in fields]})
    )


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    if request.param == "sqlite":
        return Database(url=f"sqlite:///{tmp_path}/a.db")
    return Database(url=str(request.getfixturevalue("postgres_database")))


@pytest.fixture
def other(database: Database, tmp_path: Path) -> Iterator[sa.Engine]:
    """The database as its owner sees it; a table `kept` with a row is there, and must stay."""
    own = sa.create_engine(database.url)
    with own.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE kept (id INTEGER)")
        connection.exec_driver_sql("INSERT INTO kept VALUES (1)")
    yield own
    with own.begin() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM kept").scalar_one() == 1
    own.dispose()


@pytest.mark.parametrize("name", NAMES)
def test_a_source_reads_the_table_and_columns_of_that_name(
    database: Database, other: sa.Engine, tmp_path: Path, name: str
) -> None:
    columns = [sa.Column(name, sa.Text), sa.Column("at", sa.DateTime), sa.Column(f"id {name}", sa.Integer)]
    table = sa.Table(name, sa.MetaData(), *columns)
    table.create(other)
    with other.begin() as connection:
        quoted = name.replace('"', '""')
        connection.connection.cursor().execute(f"INSERT INTO \"{quoted}\" VALUES ('v', '2025-01-01 00:00:00', 1)")
    config = SourceConfig.model_validate(
        {"subject": "a.b", "table": name, "cursor": {"time": "at", "id": f"id {name}"}, "columns": {"f": name}}
    )
    with closing(SqlSource(config, engine(database, Paths(tmp_path, tmp_path)), [name], [name])) as source:
        source.open({})
        assert [row[name] for page in source.pages() for row in page.rows if isinstance(row, dict)] == ["v"]
        assert source.without_cursor() == 0
        assert not source.has_index()


@pytest.mark.parametrize("name", NAMES)
def test_a_sink_makes_and_grows_the_table_of_that_name(
    database: Database, other: sa.Engine, tmp_path: Path, name: str
) -> None:
    config = SinkConfig.model_validate({"subject": "a.b", "table": name})
    made = SinkTable(engine(database, Paths(tmp_path, tmp_path), writes=True), config.table_name, ["id"], "id")
    with closing(made) as table:
        both = schema("id", "more")
        table.examine(both)
        table.fit(schema("id"))
        table.fit(both)
        assert table.offsets(name, [0]) == {0: 0}
        for at, more in enumerate([name, "x"]):
            change = table.upsert(both, {"id": name, "more": more}, RecordOrigin(0, at, at))
            assert table.apply(name, [change], {0: (at, at + 1)}, list) == ()
    found = sa.table(name, sa.column("id"), sa.column("more"))
    with other.connect() as connection:
        assert connection.execute(sa.select(found)).all() == [(name, "x")]


@pytest.mark.parametrize("url", ["postgresql+psycopg://exchange:canary-7f3a@127.0.0.1:1/x", "sqlite:////nowhere/x.db"])
def test_a_database_that_does_not_answer_is_told_without_its_password(tmp_path: Path, url: str) -> None:
    with pytest.raises(ExchangeError) as refused:
        SinkTable(engine(Database(url=url), Paths(tmp_path, tmp_path)), "t", ["id"], "id").examine(schema("id"))
    assert "canary-7f3a" not in _logged(refused.value)
    with pytest.raises(ExchangeError) as refused:
        LedgerStore(url)
    assert "canary-7f3a" not in _logged(refused.value)


def _logged(error: BaseException) -> str:
    record = logging.makeLogRecord({"msg": str(error), "exc_info": (type(error), error, error.__traceback__)})
    return logs.TextFormatter().format(record) + logs.JsonFormatter().format(record)
