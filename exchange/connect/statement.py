"""Statements that a sink needs for every transaction: their text is made once, for that costs more than to run it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

from sqlalchemy.engine import Connection

from exchange.connect.dialects import known as dialects


class Statement:
    """A statement of SQLAlchemy's for one kind of database; where it can, the driver gets its values as they are."""

    def __init__(self, clause: Any) -> None:
        self._clause = clause
        self._text = ""
        self._order: tuple[str, ...] | None = None  # of the values; None if the driver takes them by name

    def run(self, connection: Connection, values: Mapping[str, Any]) -> int:
        """Run it; return how many rows that changed."""
        if not dialects.of(connection.engine).binds_plainly:
            return connection.execute(self._clause, values).rowcount
        driver: Any = connection.connection
        with closing(driver.cursor()) as cursor:
            cursor.execute(self.text(connection), self._given(values))
            return int(cursor.rowcount)

    def run_each(self, connection: Connection, values: Sequence[Mapping[str, Any]]) -> None:
        """Run it with each of these values, in order."""
        if not dialects.of(connection.engine).binds_plainly:
            connection.execute(self._clause, values)
            return
        driver: Any = connection.connection
        text = self.text(connection)
        with closing(driver.cursor()) as cursor:
            if len(values) == 1:
                cursor.execute(text, self._given(values[0]))
            else:
                cursor.executemany(text, [self._given(each) for each in values])

    def text(self, connection: Connection) -> str:
        """What the driver gets."""
        if not self._text:
            compiled = self._clause.compile(dialect=connection.dialect)
            self._text = str(compiled)
            self._order = tuple(compiled.positiontup) if compiled.positional else None
        return self._text

    def _given(self, values: Mapping[str, Any]) -> Any:
        return values if self._order is None else [values[name] for name in self._order]
