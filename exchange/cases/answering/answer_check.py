"""Checks the block `answers` of a connector.yaml: its form, what it needs beside it, and each query once."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from exchange.cases.answering.answer_store import AnswerStore
from exchange.cases.answering.answer_tables import ANSWERS
from exchange.cases.answering.item_queries import ItemQueries
from exchange.cases.answering.items import FIXED, AnsweredItem, answered_items
from exchange.connect.config import Cursor, SinkConfig, SourceConfig
from exchange.connect.database import Paths
from exchange.connect.load import FILE, Connector, ConnectorConfigError
from exchange.document.nearest import nearest
from exchange.document.problem import Path as Place
from exchange.document.problem import Problem, Severity, dotted
from exchange.errors import ExchangeError

CURSOR = Cursor(time="updated_at", id="id")
_SHARED = "leave out its `database`: questions, answers and queries share the connector's"


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
    if run.problems:
        raise ConnectorConfigError(str(connector.folder / FILE), run.problems)


class _Check:
    def __init__(self, connector: Connector) -> None:
        self._connector, self._document, self._config = connector, connector.document, connector.config
        self.problems: list[Problem] = []

    def _add(self, path: Place, message: str, remedy: str, severity: Severity = "error") -> None:
        self.problems.append(Problem(self._document.line(path), dotted(path), message, remedy, severity))

    def beside(self, items: Sequence[AnsweredItem]) -> None:
        """Report what the items lack in the rest of the file, and those that are there twice."""
        if items:
            self._outbox()
        for i, item in enumerate(items):
            self._question(item, ("answers", i))
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

    def _outbox(self) -> None:
        """Report what keeps answers from being published."""
        subject = f"{self._config.department}.answer"
        source = next((one for one in self._config.sources if one.subject == subject), None)
        wanted = f"{{subject: {subject}, table: {ANSWERS}, cursor: {{time: {CURSOR.time}, id: {CURSOR.id}}}}}"
        if source is None:
            self._add(("answers",), f"no source publishes {subject}", f"add to `sources`: {wanted}")
            return
        path: Place = ("sources", self._config.sources.index(source))
        if source.table != ANSWERS or source.cursor != CURSOR:
            self._add(path, f"{subject} does not come from the table of answers", f"write {wanted}")
        self._shares(source, path)

    def _question(self, item: AnsweredItem, path: Place) -> None:
        """Report what keeps the questions from coming."""
        sinks = {one.subject: one for one in self._config.sinks}
        if item.question not in sinks:
            remedy = nearest(item.question, list(sinks)) or f"add to `sinks`: {{subject: {item.question}}}"
            self._add((*path, "question"), f"no sink takes in {item.question}", remedy)
            return
        sink = sinks[item.question]
        at: Place = ("sinks", self._config.sinks.index(sink))
        if sink.parquet is not None or sink.webhook is not None:
            self._add(at, f"{sink.subject} does not go into a table, where answers look for it", "give a `table`")
        self._shares(sink, at)

    def _shares(self, part: SourceConfig | SinkConfig, path: Place) -> None:
        if part.database is not None:
            self._add((*path, "database"), f"{part.subject} has a database of its own", _SHARED)

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
