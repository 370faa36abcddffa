"""A reader's disk that is full: nothing is taken in, nothing is lost, and the connector says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Engine

from exchange.connect.database import DatabaseUnavailableError
from tests.rigs.sinks import PLAIN, Reader, row


@pytest.fixture
def pages() -> Iterator[list[int]]:
    """How many pages each SQLite database may have that is opened from now on."""
    most = [1 << 20]

    def limit(driver: Any, _: object) -> None:
        driver.execute(f"PRAGMA max_page_count = {most[0]}")

    event.listen(Engine, "connect", limit)
    yield most
    event.remove(Engine, "connect", limit)


def test_a_full_disk_takes_nothing_in_and_loses_nothing(tmp_path: Path, pages: list[int]) -> None:
    reader = Reader(f"sqlite:///{tmp_path}/reader.db", tmp_path)
    with closing(reader.table()) as table:
        table.fit(PLAIN)
        reader.write(table, *map(row, range(100)))
    with reader.user.connect() as connection:
        pages[0] = connection.execute(sa.text("PRAGMA page_count")).scalar_one()
    with closing(reader.table()) as table:
        table.fit(PLAIN)
        with pytest.raises(DatabaseUnavailableError, match=r"the disk of the database is full .* make room"):
            reader.write(table, *(row(number, "x" * 200) for number in range(100, 200)))
        assert table.offsets("topic", [0]) == {0: 100}
    assert len(reader.rows()) == 100
    pages[0] = 1 << 20
    with closing(reader.table()) as table:
        table.fit(PLAIN)
        assert reader.write(table, *map(row, range(100, 200))) == []
    assert len(reader.rows()) == 200
    reader.user.dispose()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    reader = Reader(f"sqlite:///{tmp_path}/file/reader.db", tmp_path)
    with pytest.raises(DatabaseUnavailableError, match=r"file/reader.db: .*(File exists|Not a directory).* make room"):
        reader.table()
    reader.user.dispose()
