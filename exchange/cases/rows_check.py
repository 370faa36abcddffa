"""Checks what keeps a connector's questions or answers from going out or coming in, all in one database."""

from __future__ import annotations

from exchange.connect.config import Cursor, SinkConfig, SourceConfig
from exchange.connect.load import FILE, Connector, ConnectorConfigError
from exchange.document.problem import Path as Place
from exchange.document.problem import Problem, Severity, dotted

CURSOR = Cursor(time="updated_at", id="id")
_SHARED = "leave out its `database`: questions, answers and queries share the connector's"


class RowsCheck:
    """Collects the problems of one connector.yaml."""

    def __init__(self, connector: Connector) -> None:
        self._connector, self._document, self._config = connector, connector.document, connector.config
        self.problems: list[Problem] = []

    def require_none(self) -> None:
        """Raise ConnectorConfigError if there are problems."""
        if self.problems:
            raise ConnectorConfigError(str(self._connector.folder / FILE), self.problems)

    def goes_out(self, subject: str, table: str, at: Place) -> None:
        """Report what keeps the rows of that table from being published as the subject."""
        source = next((one for one in self._config.sources if one.subject == subject), None)
        wanted = f"{{subject: {subject}, table: {table}, cursor: {{time: {CURSOR.time}, id: {CURSOR.id}}}}}"
        if source is None:
            self._add(at, f"no source publishes {subject}", f"add to `sources`: {wanted}")
            return
        path: Place = ("sources", self._config.sources.index(source))
        if source.table != table or source.cursor != CURSOR:
            self._add(path, f"{subject} does not come from the table {table}", f"write {wanted}")
        self._shares(source, path)

    def comes_in(self, subject: str, at: Place, nearest: str = "") -> None:
        """Report what keeps the subject's records from becoming rows."""
        sink = next((one for one in self._config.sinks if one.subject == subject), None)
        if sink is None:
            self._add(at, f"no sink takes in {subject}", nearest or f"add to `sinks`: {{subject: {subject}}}")
            return
        path: Place = ("sinks", self._config.sinks.index(sink))
        if sink.parquet is not None or sink.webhook is not None:
            self._add(path, f"{subject} does not go into a table, where cases look for it", "give a `table`")
        self._shares(sink, path)

    def _shares(self, part: SourceConfig | SinkConfig, path: Place) -> None:
        if part.database is not None:
            self._add((*path, "database"), f"{part.subject} has a database of its own", _SHARED)

    def _add(self, path: Place, message: str, remedy: str, severity: Severity = "error") -> None:
        self.problems.append(Problem(self._document.line(path), dotted(path), message, remedy, severity))
