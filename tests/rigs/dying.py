"""A process that deletes what an ended grant has left, or empties columns, and dies before or after some commit."""

from __future__ import annotations

import os
import signal
from datetime import date
from pathlib import Path

from sqlalchemy import event
from sqlalchemy.engine import Engine

from exchange.connect import held_copy
from tests.rigs.sinks import Reader

UNTIL = date(2020, 12, 31)


def end(reader: Reader) -> None:
    """What a connector does when the grant has ended, to the end."""
    table = reader.table()
    copy = table.copy("topic")
    copy.end("g", UNTIL, deletes=True, since=1.0)
    while copy.delete_some():
        pass
    assert copy.finish()
    table.close()


def empty(reader: Reader) -> None:
    """What a connector does when the grant becomes narrower."""
    table = reader.table()
    table.copy("topic").hold("g", UNTIL, ["id", "n"], ["id"], epoch=1, deletes=True)
    table.close()


def main(url: str, task: str, commit: int, when: str) -> None:
    """Do the task, `end` or `empty`, in small steps, and die `before` or `after` the commit of that number."""
    held_copy.AT_ONCE = 7
    reader, commits = Reader(url, Path()), 0

    def committed(connection: object) -> None:
        nonlocal commits
        commits += 1
        if commits > commit:
            os.kill(os.getpid(), signal.SIGKILL)

    if when == "before":
        event.listen(Engine, "commit", committed)
    else:
        do_commit = reader.user.dialect.__class__.do_commit

        def dying(self: object, connection: object) -> None:
            do_commit(self, connection)  # type: ignore[arg-type]
            committed(connection)

        reader.user.dialect.__class__.do_commit = dying  # type: ignore[method-assign, assignment]
    {"end": end, "empty": empty}[task](reader)
