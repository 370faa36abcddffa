"""A connector at a real PostgreSQL: what `check` tries, and what `run` publishes, rejects and says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import make_url

from exchange.bus import Cluster
from exchange.connect import cursor as cursor_topic
from exchange.connect.config import Database, SinkConfig
from exchange.connect.delivered import Delivered
from exchange.connect.rehearsal import rehearse
from exchange.connect.window import Window, is_page
from exchange.errors import ConfigError
from exchange.schema import avro
from tests.rigs.project import Project
from tests.rigs.sql_source import HERE, SECRET, connected, run

DELIVERED = avro.parse(
    '{"type": "record", "name": "R", "fields": [{"name": "k", "type": "string"}, '
    '{"name": "v", "type": "bytes"}, {"name": "w", "type": {"type": "int", "logicalType": "date"}}]}'
)
PLACE = "_partition bigint, _offset bigint"


def try_sink(url: str, table: str = "t") -> None:
    config = SinkConfig(subject="a.b", table=table)
    rehearse(
        config, Database(url=url), HERE, "inbox.c.a.b", "k", Delivered(DELIVERED, ("k",), frozenset(DELIVERED.fields))
    )


@pytest.mark.parametrize(
    ("before", "table", "cause"),
    [
        ([], "t", None),
        ([f"CREATE TABLE t (k text PRIMARY KEY, v bytea, {PLACE})"], "t", None),
        ([f"CREATE TABLE t (k text, v bytea, {PLACE})"], "t", "a unique index, of"),
        ([], "nowhere.t", "there is no such schema"),
        (["REVOKE CREATE ON SCHEMA public FROM public"], "t", "permission denied for schema public"),
        ([f"CREATE TABLE t (k text PRIMARY KEY, v bytea, w date, {PLACE}, _time_ms bigint, _replay text)",
          "GRANT SELECT, INSERT ON t TO weak"], "t", "permission denied for table t"),
        (["ALTER DATABASE {database} SET default_transaction_read_only = on"], "t", "the database is read-only"),
    ],
)  # fmt: skip
def test_check_tries_what_a_sink_does_and_leaves_no_trace(
    postgres_database: str, before: list[str], table: str, cause: str | None
) -> None:
    url = make_url(postgres_database)
    run(
        postgres_database,
        "DROP ROLE IF EXISTS weak",
        "CREATE ROLE weak LOGIN",
        "GRANT CREATE ON SCHEMA public TO public",
    )
    run(postgres_database, *(statement.format(database=url.database) for statement in before))
    owner = "weak" if cause and "permission" in cause else str(url.username)
    try:
        if cause is None:
            try_sink(postgres_database, table)
        else:
            with pytest.raises(ConfigError, match=cause):
                try_sink(url.set(username=owner).render_as_string(hide_password=False), table)
        with connected(postgres_database) as connection:
            tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        assert tables == ([("t",)] if any("TABLE t" in statement for statement in before) else [])
    finally:
        run(postgres_database, "SET default_transaction_read_only = off", "DROP OWNED BY weak", "DROP ROLE weak")


INCOME_TABLE = """CREATE TABLE income
    (serial int, resident_id text, year int, amount numeric, paid_on date, recorded_at timestamptz)"""


def test_a_connector_rejects_the_odd_row_and_publishes_the_others(
    own_cluster: Cluster, postgres_database: str, tmp_path: Path, unique: str
) -> None:
    run(
        postgres_database,
        INCOME_TABLE,
        "INSERT INTO income SELECT i, i::text, 2024, i, CASE i WHEN 7 THEN 'infinity' ELSE '2025-02-28' END::date, "
        "timestamptz '2025-03-01 08:00+08' + i * interval '1 s' FROM generate_series(1, 20) i",
        "UPDATE income SET recorded_at = '0044-03-15 BC' WHERE serial = 9",
        "UPDATE income SET recorded_at = 'infinity' WHERE serial = 11",
    )
    project = Project(tmp_path, own_cluster, f"{unique}a", f"{unique}b")
    project.apply()
    cursor = {"time": "recorded_at", "id": "serial"}
    origin = {"subject": project.subject, "table": "income", "cursor": cursor}
    project.connector(project.owner, database=postgres_database, sources=[origin])
    done = connector(project)
    assert done.returncode == 0
    rejects = (project.home / "rejects" / f"{project.subject}.jsonl").read_text().splitlines()
    assert [json.loads(line)["reason"] for line in rejects] == [
        "recorded_at: a timestamptz out of range where a timestamp is due",
        "paid_on: a date out of range where a date is due",
        "recorded_at: a timestamptz out of range where a timestamp is due",
    ]
    progress = cursor_topic.read(own_cluster, project.owner, project.subject)
    pages = {name: value for name, value in progress.items() if is_page(name)}
    assert Window(60, pages).known().size == 20


@pytest.mark.parametrize("query", [f"SELECT *, '{SECRET}'::int AS x FROM income", "SELECT * FROM income WHERE f(year)"])
def test_no_value_is_shown_when_a_connector_ends(
    own_cluster: Cluster, postgres_database: str, tmp_path: Path, unique: str, query: str
) -> None:
    run(
        postgres_database,
        INCOME_TABLE,
        f"INSERT INTO income VALUES (1, '{SECRET}', 2024, 1, '2025-02-28', '2025-03-01')",
        f"CREATE FUNCTION f(int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '{SECRET}'; END $$",
    )
    project = Project(tmp_path, own_cluster, f"{unique}a", f"{unique}b")
    project.apply()
    cursor = {"time": "recorded_at", "id": "serial"}
    origin = {"subject": project.subject, "query": query, "cursor": cursor}
    project.connector(project.owner, database=postgres_database, sources=[origin])
    for done in (connector(project), connector(project, "check")):
        assert done.returncode == ConfigError.exit_status
        assert "Traceback" not in done.stdout + done.stderr
        assert SECRET not in done.stdout + done.stderr


def connector(project: Project, command: str = "run") -> subprocess.CompletedProcess[str]:
    options = ["--until-idle"] if command == "run" else []
    exchange = str(Path(sys.executable).parent / "exchange")
    environment = {**os.environ, **project.environment()}
    words = [exchange, "connector", command, project.owner, *options]
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=120)
