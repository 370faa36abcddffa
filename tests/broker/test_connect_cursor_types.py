"""A cursor's time column that is given another type while rows are published from it."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from exchange.connect.config import Cursor, Database, SourceConfig
from exchange.connect.database import Paths, engine
from exchange.connect.sql_source import SqlSource
from exchange.connect.testing import apply
from exchange.connect.window import CursorTypeError


def source(url: str, folder: Path) -> SqlSource:
    config = SourceConfig(subject="a.b", table="t", cursor=Cursor(time="at", id="id"), lookback_s=0)
    return SqlSource(config, engine(Database(url=url), Paths(folder, folder)), None)


def sweep(of: SqlSource, progress: dict[str, bytes]) -> list[int]:
    """The ids of what is new."""
    ids = []
    for page in of.pages():
        ids += [row["id"] for row in page.rows]  # type: ignore[index]
        apply(progress, page.progress)
    return ids


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ("timestamptz", "date", "now a date, and gave a timestamp with time zone"),
        ("timestamptz", "timestamp", "a timestamp, and gave a timestamp with time zone"),
        ("timestamp", "timestamptz", "a timestamp with time zone, and gave a timestamp"),
        ("timestamptz", "text", "a text, and gave a timestamp with time zone"),
        ("date", "timestamptz", "a timestamp with time zone, and gave a date"),
    ],
)
def test_times_that_do_not_compare_with_those_published_stop_the_source(
    postgres_database: str, tmp_path: Path, before: str, after: str, named: str
) -> None:
    plain = make_url(postgres_database).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(f"CREATE TABLE t (id int, at {before})".encode())
        connection.execute("INSERT INTO t VALUES (1, now())")
        progress: dict[str, bytes] = {}
        of = source(postgres_database, tmp_path)
        of.open(progress)
        assert sweep(of, progress) == [1]
        connection.execute(f"ALTER TABLE t ALTER at TYPE {after}".encode())
        connection.execute(f"INSERT INTO t VALUES (2, now()::{after})".encode())
        with pytest.raises(CursorTypeError, match=named):
            sweep(of, progress)
        of.close()
        connection.execute(f"ALTER TABLE t ALTER at TYPE {before} USING at::{before}".encode())
        connection.execute("INSERT INTO t VALUES (3, now())")
        assert 3 in sweep(of, progress)
        of.close()
