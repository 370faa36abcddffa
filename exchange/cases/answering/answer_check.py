"""Checks the block `answers` of a connector.yaml: its form, what it needs beside it, and each query once."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from exchange.cases.answering.answer_store import AnswerStore
from exchange.cases.answering.answer_tables import ANSWERS
from exchange.cases.answering.item_queries import ItemQueries
from exchange.cases.answering.items import FIXED, AnsweredItem, answered_items
from exchange.cases.rows_check import RowsCheck
from exchange.connect.database import Paths
from exchange.connect.load import Connector, ConnectorConfigError
from exchange.document.nearest import nearest
from exchange.document.problem import Path as Place
from exchange.document.problem import Problem
from exchange.errors import ExchangeError


def check(connector: Connector, home: Path) -> list[Problem]:
    """Every mistake, by line. Runs each query for a party that nobody is; writes nothing."""
    try:
        items = answered_items(connector)
    except ConnectorConfigError as error:
        return list(error.problems)
    run = _Check(connector)
    run.beside(items)
    if items:
        run.tried(items, home)
    return sorted(run.problems)


def require_fit(connector: Connector) -> None:
    """Raise ConnectorConfigError if, as the file is, questions would not come in or answers not go out."""
    run = _Check(connector)
    run.beside(answered_items(connector))
    run.require_none()


class _Check(RowsCheck):
    def beside(self, items: Sequence[AnsweredItem]) -> None:
        """Report what the items lack in the rest of the file, and those that are there twice."""
        if items:
            self.goes_out(f"{self._config.department}.answer", ANSWERS, ("answers",))
        sinks = [sink.subject for sink in self._config.sinks]
        for i, item in enumerate(items):
            self.comes_in(item.question, ("answers", i, "question"), nearest(item.question, sinks))
            if (item.question, item.type, item.item) in {(o.question, o.type, o.item) for o in items[:i]}:
                self._add(("answers", i, "item"), f"{item} is there twice for {item.question}", "remove one of them")

    def tried(self, items: Sequence[AnsweredItem], home: Path) -> None:
        """Report the queries that do not run."""
        try:
            store = AnswerStore(self._connector, Paths(self._connector.folder, home), writes=False)
        except ExchangeError as error:
            self._add(("database",), error.message, error.remedy)
            return
        with closing(store):
            for i, item in enumerate(items):
                self._queries(store, item, ("answers", i))

    def _queries(self, store: AnswerStore, item: AnsweredItem, path: Place) -> None:
        """Report what is wrong with the item's queries."""
        try:
            queries = ItemQueries(store, item)
        except ExchangeError as error:
            self._add(path, error.message, error.remedy)
            return
        known = (*FIXED, *item.parameters)
        for key in item.queries:
            if unknown := [name for name in queries.parameters(key) if name not in known]:
                remedy = nearest(unknown[0], list(known)) or "name what comes with the question under `parameters`"
                self._add((*path, key), f"there is no parameter :{unknown[0]}", remedy)
                continue
            try:
                self._columns(item, key, queries.columns(key), (*path, key))
            except ExchangeError as error:
                self._add((*path, key), error.message, error.remedy)

    def _columns(self, item: AnsweredItem, key: str, columns: list[str], path: Place) -> None:
        if key != "query":
            if len(columns) != 1:
                self._add(path, f"`{key}` gives {len(columns)} columns", "select one: the name, or the day")
            return
        for name in item.answer:
            if name not in columns:
                self._add(path, f"the query gives no column {name}, which `answer` declares", nearest(name, columns))
        for column in columns:
            if column not in item.answer:
                self._add(path, f"`answer` does not declare the column {column}: it is left out", "", "warning")
