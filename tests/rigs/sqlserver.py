"""A SQL Server that answers in the driver's place: it notes each statement, and gives the rows that a test has for it.

No SQL Server runs in the tests: what is shown here is which statements go to the server, and what becomes of the values
that the driver hands over; not that a server takes the one and sends the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytds
import pytest

from tests.rigs.answered import Answered


class Cursor(Answered):
    """A cursor of the driver's; it has one answer after the other, and cancels those that nobody has read."""

    def __init__(self, server: SqlServer) -> None:
        super().__init__()
        self._server = server
        self.description: list[tuple[Any, ...]] | None = None
        self.rowcount = -1

    def execute(self, statement: str, parameters: Mapping[str, Any] | None = None) -> None:
        self._server.cancelled += len(self._server.unread)
        names, rows = self._server.answer(" ".join(statement.split()), dict(parameters or {}))
        self._server.unread = [] if names else list(self._server.counts)
        self.nextset()
        self.description = [(name, None, None, None, None, None, True) for name in names]
        self._rows = iter(rows)

    def nextset(self) -> bool:
        if not self._server.unread:
            return False
        count = self._server.unread.pop(0)
        if isinstance(count, Exception):
            raise count
        self.rowcount = count
        return True


class SqlServer:
    """The server and each connection to it; it has one table, in which each SELECT finds the next of `answers`.

    `columns`: the names of the table's columns, and their types as the server names them. `counts`: what a change is
    answered with: -1 for no count, an error; `cancelled`: how many of these nobody has read.
    """

    def __init__(self) -> None:
        self.columns: dict[str, str] = {}
        self.answers: list[Sequence[Any]] = []
        self.said: list[tuple[str, Mapping[str, Any]]] = []
        self.given: dict[str, Any] = {}
        self.session = ""
        self.connections = self.cancelled = 0
        self.counts: list[int | Exception] = [1, -1]
        self.unread: list[int | Exception] = []

    def connect(self, host: str, **given: Any) -> SqlServer:
        self.given = {"host": host, **given}
        self.connections += 1
        return self

    def cursor(self) -> Cursor:
        return Cursor(self)

    def answer(self, statement: str, values: Mapping[str, Any]) -> tuple[Sequence[str], Sequence[Any]]:
        if statement.startswith("SET "):
            self.session = statement
        elif "describe_first_result_set" in statement:
            self.said.append((statement, values))
            return ("name", "system_type_name"), list(self.columns.items())
        elif "income" in statement:
            self.said.append((statement, values))
            if not statement.startswith("SELECT"):
                return (), []
            return list(self.columns), [] if " TOP 0 " in statement else self.answers.pop(0)
        elif "ProductVersion" in statement:
            return ("version",), [("15.0.2000.5",)]
        return ("one",), [("dbo",)]

    def commit(self) -> None:
        pass

    rollback = close = commit


@pytest.fixture
def sql_server(monkeypatch: pytest.MonkeyPatch) -> SqlServer:
    """The server to which everything connects."""
    there = SqlServer()
    monkeypatch.setattr(pytds, "connect", there.connect)
    return there
