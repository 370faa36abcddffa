"""Two connectors of one department at once, by mistake: nothing is lost or doubled, and they say what is wrong."""

from __future__ import annotations

import itertools
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tests.broker.test_connect_source import database, insert, project, serials
from tests.rigs.deliveries import Sent, connect, income, rows, running, send
from tests.rigs.plain import wait_until
from tests.rigs.project import Project

__all__ = ["database", "project"]


def work_twice(
    project: Project, department: str, code: str, more: Callable[[range], None], done: Callable[[int], bool]
) -> int:
    """Have two connectors work at once until one says that, and then until all is done; return the number of rows."""
    numbers, said = itertools.count(), set[str]()
    with ExitStack() as stack:
        workers = [w for _ in range(2) for w in stack.enter_context(running(project, department)).workers]

        def complain() -> bool:
            first = 20 * next(numbers)
            more(range(first, first + 20))
            said.update(worker.words() for worker in workers)
            return first >= 200 and any(f"[{code}]" in words for words in said)

        wait_until(complain, f"one of them says [{code}]")
        total = 20 * next(numbers)
        wait_until(lambda: done(total), "all rows are there")
    return total


def test_two_connectors_publish_each_row_once(project: Project, database: sqlite3.Connection) -> None:
    total = work_twice(
        project, project.owner, "fenced", lambda some: insert(database, some), lambda n: len(serials(project)) >= n
    )
    assert serials(project) == Counter(range(total))


def test_two_connectors_take_in_each_record_once(project: Project, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/reader.db"
    connect(project, url)
    total = work_twice(
        project,
        project.reader,
        "other-sink",
        lambda some: send(project, *(Sent(*income(serial)) for serial in some)),
        lambda n: len(rows(url, "serial")) >= n,
    )
    assert [serial for (serial,) in rows(url, "serial")] == list(range(total))
