"""Checks that a connector that asks publishes its questions, and takes in the answers of all whom its cases ask."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import date

from exchange.cases import tables
from exchange.cases.caseload import types
from exchange.cases.load import CaseTypeError
from exchange.cases.rows_check import RowsCheck
from exchange.cases.rules import LoadedType
from exchange.connect.load import Connector
from exchange.document.problem import Problem


def check(connector: Connector, today: date) -> list[Problem]:
    """Every mistake, by line; none if a case type has mistakes of its own, which `exchange validate` names."""
    known: Iterable[LoadedType] = ()
    with suppress(CaseTypeError):
        known = types(connector.folder, today).values()
    return sorted(_checked(connector, known).problems)


def require_fit(connector: Connector, known: Iterable[LoadedType]) -> None:
    """Raise ConnectorConfigError if, as the file is, questions would not go out or answers not come in."""
    _checked(connector, known).require_none()


def _checked(connector: Connector, known: Iterable[LoadedType]) -> RowsCheck:
    run = RowsCheck(connector)
    asked = dict.fromkeys(item.asks for each in known for item in each.items)
    if asked:
        run.goes_out(f"{connector.config.department}.question", tables.questions.name, ("sources",))
    for department in asked:
        run.comes_in(f"{department}.answer", ("sinks",))
    return run
