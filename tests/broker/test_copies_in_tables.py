"""What routers deliver and withdraw, as the readers' sinks make it of their tables: the register as each may see it."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from pathlib import Path
from unittest import mock

import pytest
import sqlalchemy as sa

from exchange.connect import load, sink
from tests.broker.test_copies import History, keyed
from tests.rigs.copies import CLEAR, GRANTS, passes
from tests.rigs.deliveries import run_until_idle
from tests.rigs.inbox import BY_COLUMNS, BY_ROWS
from tests.rigs.office import Office


@pytest.fixture
def office(office: Office) -> Office:
    return keyed(office)


def take_in(office: Office, folder: Path, url: str, reader: str) -> None:
    """The reader's connector takes its whole inbox into a table of the reader's name."""
    config = {"department": reader, "database": url, "sinks": [{"subject": office.subject, "table": reader}]}
    (folder / reader).mkdir(exist_ok=True)
    (folder / reader / load.FILE).write_text(json.dumps(config))
    with mock.patch.object(sink, "FEW", BY_ROWS if url.startswith("sqlite") else BY_COLUMNS):
        run_until_idle(office.cluster, load.load(folder, reader), folder)


def test_tables_have_what_grants_give_of_the_register_now(
    office: Office, tmp_path: Path, postgres_database: str
) -> None:
    """Every second reader's are on PostgreSQL, written by columns, the others' on SQLite, row by row."""
    history, urls = History(office), itertools.cycle([f"sqlite:///{tmp_path}/readers.db", postgres_database])
    engines = {reader: sa.create_engine(url) for reader, url in zip(GRANTS, urls, strict=False)}
    with office.router():
        for _ in range(2):
            history.publish(300)
            office.wait_routed()
            for reader, engine in engines.items():
                take_in(office, tmp_path, engine.url.render_as_string(hide_password=False), reader)
                due = {row: record for row, record in history.register.rows.items() if passes(reader, record)}
                shown = "district" if reader == "cut" else "cents"
                target = sa.table(reader, sa.column(shown), sa.column("id"), sa.column("year"))
                with engine.connect() as connection:
                    held = Counter(value for (value,) in connection.execute(sa.select(target.c[shown])))
                    assert held == Counter(record[shown] for record in due.values()), reader
                    if reader in CLEAR:
                        found = [tuple(row) for row in connection.execute(sa.select(target.c.id, target.c.year))]
                        assert sorted(found) == sorted(due)
    for engine in engines.values():
        engine.dispose()
    assert not (tmp_path / "rejects").exists()
