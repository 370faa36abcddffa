"""What the cursors of drivers that answer in a server's place share: rows that a test has for them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self


class Answered:
    """A cursor with `_rows`, of which an error is raised when it comes."""

    def __init__(self) -> None:
        self._rows: Iterator[Any] = iter(())

    def fetchone(self) -> Any:
        row = next(self._rows, None)
        if isinstance(row, Exception):
            raise row
        return row

    def fetchall(self) -> list[Any]:
        return list(self._rows)

    def close(self) -> None:
        self._rows = iter(())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
