"""A Dameng that answers in the driver's place: it notes each statement, and gives the rows that a test has for it.

No Dameng runs in the tests, nor is its driver installed: what is shown here is which statements go to the driver, and
what becomes of the values that it hands over, in the types of which its source says so.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.rigs.answered import Answered

TYPES = ("BIGINT", "DATE", "DECIMAL", "FIXED_BINARY", "FIXED_STRING", "REAL", "STRING", "TIME", "TIME_WITH_TIMEZONE",
         "TIMESTAMP", "TIMESTAMP_WITH_TIMEZONE")  # fmt: skip


class Driver(ModuleType):
    """The module dmPython."""

    paramstyle, threadsafety, apilevel, version, PG_UTF8 = "qmark", 1, "2.0", "2.6.1", 1

    class Error(Exception):
        """What the driver raises."""

    class DataError(Error):
        """What our own code raises."""

    InterfaceError = DatabaseError = OperationalError = IntegrityError = Error
    InternalError = ProgrammingError = NotSupportedError = Error
    locals().update({name: type(name, (), {}) for name in TYPES})

    def __init__(self) -> None:
        super().__init__("dmPython")
        self.__spec__ = ModuleSpec("dmPython", None)

    def of(self, number: int, text: str = "") -> Exception:
        """The error with that number."""
        return self.Error(SimpleNamespace(code=number, message=text))


# In the place of the driver even where that is installed.
DRIVER: Any = Driver()
sys.modules["dmPython"] = DRIVER


class Cursor(Answered):
    """A cursor of the driver's, which takes values by their place."""

    rowcount = 1

    def __init__(self, server: Dameng) -> None:
        super().__init__()
        self._server = server
        self.description: list[tuple[Any, ...]] | None = None

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> None:
        assert statement.count("?") == len(parameters)
        self.description, rows = self._server.answer(" ".join(statement.split()), list(parameters))
        self._rows = iter(rows)

    def executemany(self, *_: Any) -> None:
        raise AssertionError("with `executemany`, the driver makes decimals into floats")


class Dameng:
    """The server and each connection to it; it has one table, in which each SELECT finds the next of `answers`.

    `columns`: the table's names, with their type, and their size or scale, as the driver describes them. `catalogue`:
    what the server says to a question that has this text in it.
    """

    current_schema = "TAX"

    def __init__(self) -> None:
        self.columns: dict[str, tuple[Any, int]] = {}
        self.answers: list[Sequence[Any]] = []
        self.catalogue: dict[str, Sequence[Any]] = {}
        self.said: list[tuple[str, list[Any]]] = []
        self.given: dict[str, Any] = {}
        self.connections = 0

    def connect(self, **given: Any) -> Dameng:
        self.given = given
        self.connections += 1
        return self

    def cursor(self) -> Cursor:
        return Cursor(self)

    def answer(self, statement: str, values: list[Any]) -> tuple[list[tuple[Any, ...]] | None, Sequence[Any]]:
        for text, rows in self.catalogue.items():
            if text in statement:
                return [(f"C{i}", DRIVER.STRING, None, None, 0, 0, True) for i in range(len(rows[0]))], rows
        if "INCOME" not in statement:
            return [("1", DRIVER.BIGINT, None, None, 0, 0, True)], [(1,)]
        self.said.append((statement, values))
        if not statement.startswith("SELECT"):
            return None, ()
        columns = [(name, of_type, None, size, size, size, True) for name, (of_type, size) in self.columns.items()]
        return columns, () if "FETCH FIRST 0 ROWS" in statement else self.answers.pop(0)

    def commit(self) -> None:
        pass

    rollback = close = commit


@pytest.fixture
def dameng(monkeypatch: pytest.MonkeyPatch) -> Dameng:
    """The server to which everything connects."""
    there = Dameng()
    monkeypatch.setattr(DRIVER, "connect", there.connect, raising=False)
    return there
