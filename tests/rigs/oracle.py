"""An Oracle that answers in the driver's place: it notes each statement, and gives the rows that a test has for it.

No Oracle runs in the tests: what is shown here is which statements go to the server, and what becomes of the values
that the driver hands over; not that a server takes the one and sends the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import oracledb
import pytest

from tests.rigs.answered import Answered


class Column(tuple[Any, ...]):
    """A column as the driver describes it."""

    type_code: Any
    scale: int | None
    internal_size: int | None

    def __new__(cls, name: str, type_code: Any, scale: int | None = None, size: int | None = None) -> Column:
        made = super().__new__(cls, (name, type_code, None, size, 0, scale, True))
        made.type_code, made.scale, made.internal_size = type_code, scale, size
        return made


class Variable:
    """What the driver fetches a column into."""

    def __init__(self, of_type: Any, size: int = 0, **options: Any) -> None:
        self.of_type, self.size, self.options = of_type, size, options

    def loaded(self, value: Any) -> Any:
        """What the driver makes of a value that is not null."""
        return self.options.get("outconverter", lambda same: same)(value)


class Cursor(Answered):
    """A cursor of the driver's."""

    arraysize = 100
    rowcount = 1

    def __init__(self, oracle: Oracle) -> None:
        super().__init__()
        self._oracle = oracle
        self.description: list[Column] | None = None
        self.outputtypehandler: Any = None

    var = staticmethod(Variable)

    def setinputsizes(self, **sizes: Any) -> None:
        self._oracle.sizes.append(sizes)

    def execute(self, statement: str, parameters: Mapping[str, Any] | None = None) -> Cursor:
        self.description, self._rows = self._oracle.answer(self, " ".join(statement.split()), parameters or {})
        return self

    def executemany(self, statement: str, parameters: Sequence[Mapping[str, Any]]) -> None:
        self._oracle.said += [(statement, dict(values)) for values in parameters]

    def __iter__(self) -> Iterator[Any]:
        return self._rows


class Oracle:
    """The server and each connection to it; it has one table, in which each SELECT finds the next of `answers`."""

    version = "19.0.0.0.0"
    max_identifier_length = 128
    autocommit = False

    def __init__(self, columns: Sequence[Column], *answers: Sequence[Sequence[Any]]) -> None:
        self.columns, self.answers = list(columns), list(answers)
        self.said: list[tuple[str, Mapping[str, Any]]] = []
        self.sizes: list[Mapping[str, Any]] = []
        self.given: dict[str, Any] = {}
        self.connections = 0
        self.call_timeout = 0
        self.outputtypehandler: Any = None

    def connect(self, **given: Any) -> Oracle:
        self.given = given
        self.connections += 1
        return self

    def cursor(self) -> Cursor:
        return Cursor(self)

    def answer(self, cursor: Cursor, statement: str, values: Mapping[str, Any]) -> tuple[Any, Iterator[Any]]:
        if "income" not in statement:
            return [Column("X", oracledb.DB_TYPE_VARCHAR)], iter([("TAX" if "current_schema" in statement else "1.1",)])
        self.said.append((statement, dict(values)))
        if not statement.startswith("SELECT"):
            return None, iter(())
        names = statement.removeprefix("SELECT ").split(" FROM ")[0]
        columns = [column for column in self.columns if names == "*" or column[0].lower() in names]
        if "FETCH FIRST 0 ROWS" in statement:
            return columns, iter(())
        return columns, self._rows(cursor, columns, self.answers.pop(0))

    def _rows(self, cursor: Cursor, columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> Iterator[Any]:
        into = [self.outputtypehandler(cursor, column) or Variable(column.type_code) for column in columns]
        for row in rows:
            for value in row:
                if isinstance(value, Exception):
                    raise value
            yield tuple(None if v is None else each.loaded(v) for each, v in zip(into, row, strict=True))

    def commit(self) -> None:
        pass

    rollback = close = ping = commit


@pytest.fixture
def oracle(monkeypatch: pytest.MonkeyPatch) -> Oracle:
    """The server to which everything connects."""
    there = Oracle([])
    monkeypatch.setattr(oracledb, "connect", there.connect)
    return there
