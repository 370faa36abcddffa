"""Checks whether a connector would run: its file against the contract, its code, its databases; all mistakes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime

import sqlalchemy as sa

from exchange.connect.assembly import Assembly, columns_of_fields
from exchange.connect.config import Database, Drop, SinkConfig, SourceConfig
from exchange.connect.database import Paths
from exchange.connect.debezium.debezium_source import DebeziumSource
from exchange.connect.delivered import Delivered, row_key
from exchange.connect.drop_folder import UnusableFileError
from exchange.connect.file_source import FileSource
from exchange.connect.load import Connector, ConnectorConfigError, load
from exchange.connect.overlap import overlaps
from exchange.connect.remote_source import RemoteSource
from exchange.connect.rounding import declared, proposal
from exchange.connect.row_key import NoRowKeyError
from exchange.connect.source import Page, Source
from exchange.connect.sql_source import SqlSource
from exchange.connect.sweep import Keys
from exchange.connect.web.pull_source import PullSource
from exchange.contract.extent import extent
from exchange.contract.load import Loaded
from exchange.contract.load import load as load_contract
from exchange.contract.model import Rounding, Subject
from exchange.contract.period import delivering
from exchange.document.nearest import nearest
from exchange.document.problem import Path, Problem, Severity, dotted
from exchange.errors import ExchangeError
from exchange.schema.avro import Schema
from exchange.settings import Settings


def examine(settings: Settings, department: str, today: date, made: Collection[str] = ()) -> list[Problem]:
    """Every mistake of the department's connector, of its file's form too; ContractError for one of the contract's.

    `made`: tables that are made when the connector starts.
    """
    try:
        found = load(settings.connectors, department)
    except ConnectorConfigError as error:
        return list(error.problems)
    return check(found, load_contract(settings.contract, today), Paths(found.folder, settings.home), made)


def check(connector: Connector, loaded: Loaded, paths: Paths, made: Collection[str] = ()) -> list[Problem]:
    """Every mistake, by line. Reads the first page of each table; publishes and writes nothing."""
    run = _Check(connector, loaded, paths, made)
    run.database(connector.config.database, ())
    for i, source in enumerate(connector.config.sources):
        run.database(source.database, ("sources", i))
        run.source(source, ("sources", i))
    for i, sink in enumerate(connector.config.sinks):
        run.database(sink.database, ("sinks", i))
        run.sink(sink, ("sinks", i))
    return sorted([*run.problems, *overlaps(connector, paths)])


class _Check:
    def __init__(self, connector: Connector, loaded: Loaded, paths: Paths, made: Collection[str]) -> None:
        self._made = made
        self._document, self._loaded, self._paths = connector.document, loaded, paths
        self._department = connector.config.department
        self._parts = Assembly(paths, connector.config.database)
        self.problems: list[Problem] = []

    def _add(self, path: Path, message: str, remedy: str = "", severity: Severity = "error") -> None:
        self.problems.append(Problem(self._document.line(path), dotted(path), message, remedy, severity))

    @contextmanager
    def _noted(self, path: Path) -> Iterator[None]:
        try:
            yield
        except ExchangeError as error:
            self._add(path, error.message, error.remedy)

    def database(self, database: Database | None, path: Path) -> None:
        """Report a password that everybody sees who reads the file."""
        if database and re.match(r"[^/]+://[^/@]*:[^/@]+@", database.url):
            self._add(
                (*path, "database"), "a password is in the database's URL", "write it into a `password_file`", "warning"
            )

    def source(self, config: SourceConfig, path: Path) -> None:
        """Report what is wrong with one source."""
        own = {s.id: s for s in self._loaded.contract.subjects if s.owner == self._department}
        if config.subject not in own:
            message = f"{self._department} owns no subject {config.subject}"
            self._add((*path, "subject"), message, nearest(config.subject, list(own)))
            return
        subject, schema = own[config.subject], self._loaded.schemas[config.subject]
        for field in config.columns:
            if field not in schema.fields:
                message = f"the schema has no field {field}"
                self._add((*path, "columns", field), message, nearest(field, list(schema.fields)))
        columns = columns_of_fields(config, schema).values()
        for i, column in enumerate(() if config.transform else config.optional):
            if column not in columns:
                message = f"no field is filled from the column {column}"
                self._add((*path, "optional", i), message, nearest(column, list(columns)))
        config = self._deletions(config, subject, path)
        place = (*path, config.key)
        with self._noted((*path, "round") if config.round else (*path, "subject")):
            declared(config.round, subject, schema)
        with self._noted((*path, "transform") if config.transform else (*path, "subject")):
            # Roundings are checked above.
            self._parts.encoder(config.model_copy(update={"round": {}}), subject, 0, schema)
        self._origin(config, subject, schema, path, place)

    def _origin(self, config: SourceConfig, subject: Subject, schema: Schema, path: Path, place: Path) -> None:
        with self._noted(place), closing(self._source(config, subject, schema)) as source:
            if isinstance(source, SqlSource):
                if config.table in self._made and not sa.inspect(source.engine).has_table(config.table or ""):
                    return
                there = source.available()
                if config.deleted is not None and config.deleted.column not in there:
                    column = config.deleted.column
                    self._add((*path, "deleted", "column"), f"there is no column {column}", nearest(column, there))
                    self._origin(config.model_copy(update={"deleted": None}), subject, schema, path, place)
                    return
                self._table(config, subject, schema, source, place)
                if config.sweep is not None:
                    self._sweep(config, subject, source, (*path, "sweep"))
            if config.cdc is not None:
                self._captured(config, subject, schema, source, place)
            if isinstance(source, DebeziumSource):
                self._topic(config, subject, schema, source, place)
            if isinstance(source, PullSource) and (page := source.look()) is not None:
                self._sample(config, subject, schema, page, place)
            if isinstance(source, RemoteSource):
                source.look()
            if isinstance(source, FileSource) and config.drop is not None:
                self._drops(config, config.drop, subject, schema, source, place)

    def _deletions(self, config: SourceConfig, subject: Subject, path: Path) -> SourceConfig:
        """Report what a subject without key does not allow; the config without it, for what is checked after that."""
        if subject.key:
            return config
        full = config.drop or config.http
        said: dict[Path, bool] = {
            ("deleted",): config.deleted is not None,
            ("sweep",): config.sweep is not None,
            (config.key, "mode"): full is not None and full.mode == "full",
        }
        for keys in (keys for keys, is_said in said.items() if is_said):
            error = NoRowKeyError(subject.id)
            self._add((*path, *keys), error.message, error.remedy)
        changes = {config.key: full.model_copy(update={"mode": "changes"})} if full else {}
        return config.model_copy(update={"deleted": None, "sweep": None, **changes})

    def _sweep(self, config: SourceConfig, subject: Subject, source: SqlSource, path: Path) -> None:
        """Try to read a page of keys."""
        keys = Keys(config, source.engine, subject.key, 1)
        there = source.available()
        if missing := [column for column in keys.columns if column not in there]:
            message = f"there is no column {', '.join(missing)}, which the key of {subject.id} needs"
            self._add(path, message, "give its name under `columns`")
            return
        keys.open()
        keys.after(None)
        if not keys.has_index:
            columns = ", ".join(keys.columns)
            message = f"no index begins with the key ({columns}): each page of keys sorts the whole table"
            self._add(path, message, f"create an index on ({columns})", "warning")

    def _source(self, config: SourceConfig, subject: Subject, schema: Schema) -> Source:
        without_rounding = config.model_copy(update={"round": {}})
        needs_key = config.cdc is not None or config.debezium is not None
        encoder = self._parts.encoder(without_rounding, subject, 0, schema) if needs_key else None
        return self._parts.source(config, schema, encoder)

    def _drops(
        self, config: SourceConfig, drop: Drop, subject: Subject, schema: Schema, source: FileSource, path: Path
    ) -> None:
        """Try a file that is there, and report if it would be refused, or which of its first rows would be rejected."""
        if not self._paths.path(drop.folder).is_dir():
            remedy = "the connector creates it when it starts; check the path"
            self._add((*path, "folder"), "the drop folder is not there", remedy, "warning")
        try:
            found = source.look()
        except (UnusableFileError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            self._add(path, f"a file there would be refused: {reason}", severity="warning")
            return
        if found is not None:
            columns, page = found
            self._defaults(config, schema, columns, path)
            self._sample(config, subject, schema, page, path)

    def _defaults(self, config: SourceConfig, schema: Schema, there: Collection[str], path: Path) -> None:
        """Report the fields that are published with their default because their column is missing."""
        if not config.transform:
            for field, column in columns_of_fields(config, schema).items():
                if column not in there and column not in config.optional:
                    message = f"there is no column {column}: {field} is published with its default"
                    self._add(path, message, "give its name under `columns`, or say `optional`", "warning")

    def _table(self, config: SourceConfig, subject: Subject, schema: Schema, source: SqlSource, path: Path) -> None:
        """Try the first page, and report which rows would not be published."""
        source.open({})
        self._defaults(config, schema, source.names, path)
        if unordered := source.without_cursor():
            message = f"rows without {source.cursor.time} or {source.cursor.id} are never published: {unordered}"
            self._add(path, message, "fill these columns", "warning")
        if not source.has_index():
            message = f"no index begins with {source.cursor.time}: every look sorts the whole table"
            remedy = f"create an index on ({source.cursor.time}, {source.cursor.id})"
            self._add(path, message, remedy, "warning")
        page = next(source.pages(), None)
        if page is not None:
            self._sample(config, subject, schema, page, path)

    def _captured(self, config: SourceConfig, subject: Subject, schema: Schema, source: Source, path: Path) -> None:
        """Report what keeps the table's changes from being read from the log, or which first rows from going out."""
        from exchange.connect.cdc.capture import CaptureSource  # kernels, which only those who need them load

        assert isinstance(source, CaptureSource)
        table = source.look()
        for fault in table.faults:
            self._add(path, fault.message, fault.remedy, "warning" if fault.is_warning else "error")
        if table.oid:
            self._defaults(config, schema, table.columns, path)
        if all(fault.is_warning for fault in table.faults):
            self._sample(config, subject, schema, source.first_page(table), path)

    def _topic(
        self, config: SourceConfig, subject: Subject, schema: Schema, source: DebeziumSource, path: Path
    ) -> None:
        lost, page = source.look()
        if lost:
            message = f"the topic has lost its first {lost} offsets: what did not change since will not be published"
            self._add(path, message, "set `cleanup.policy=compact`, and have Debezium take a snapshot", "warning")
        if page is not None:
            self._sample(config, subject, schema, page, path)

    def _sample(self, config: SourceConfig, subject: Subject, schema: Schema, page: Page, path: Path) -> None:
        """Report which of the first rows would not be published."""
        allowed = {name: how for name, how in config.round.items() if subject.rounded.get(name) == how}
        config = config.model_copy(update={"round": allowed})
        reasons = self._reasons(config, subject, schema, page)
        rounding = self._rounding(config, subject, schema, page)
        for reason, count in reasons.most_common():
            message = f"{count} of the first {len(page.rows)} rows would be rejected: {reason}"
            remedy = "correct the rows, or map them in transform.py"
            if proposal(schema, [reason]):
                said = ", ".join(f"{name}: {how}" for name, how in rounding.items())
                remedy = (
                    f"if the loss is allowed, add `round: {{{said}}}` to the source, and have "
                    f"`rounded: {{{said}}}` put to the subject in topics.yaml"
                )
            self._add(path, message, remedy, "warning")

    def _reasons(self, config: SourceConfig, subject: Subject, schema: Schema, page: Page) -> Counter[str]:
        return Counter(reason for _, reason in self._parts.encoder(config, subject, 0, schema).encode(page).rejected)

    def _rounding(self, config: SourceConfig, subject: Subject, schema: Schema, page: Page) -> dict[str, Rounding]:
        """All roundings that the page needs. Reasons name only each row's first loss, so it takes several rounds."""
        rounding = dict(config.round)
        while True:
            allowed = subject.model_copy(update={"rounded": rounding})
            reasons = self._reasons(config.model_copy(update={"round": rounding}), allowed, schema, page)
            more = proposal(schema, list(reasons))
            if more.keys() <= rounding.keys():
                return rounding
            rounding |= more

    def sink(self, config: SinkConfig, path: Path) -> None:
        """Report what is wrong with one sink."""
        contract = self._loaded.contract
        granted = [g for g in contract.grants if g.reader == self._department]
        grants = [g for g in granted if g.subject == config.subject]
        if config.subject not in {subject.id for subject in contract.subjects}:
            message = f"there is no subject {config.subject}"
            self._add((*path, "subject"), message, nearest(config.subject, sorted({g.subject for g in granted})))
            return
        if not grants:
            message = f"{self._department} has no grant for {config.subject}"
            self._add((*path, "subject"), message, "ask for one: the sink waits for it", "warning")
            return
        if config.webhook is not None:
            with self._noted((*path, "webhook")):
                self._parts.hook(config, config.webhook).close()
            return
        with self._noted((*path, "table") if config.table else (*path, "parquet") if config.parquet else path):
            subject = contract.subject(config.subject)
            self._parts.rehearse(config, self._department, subject, self._delivered(subject))

    def _delivered(self, subject: Subject) -> Delivered:
        """What the department gets now, under one of its grants."""
        schema = self._loaded.schemas[subject.id]
        grant = delivering(self._loaded.contract, subject.id, self._department, datetime.now(UTC))
        assert grant is not None
        view = extent(grant, schema, schema.fields, None).view
        given = view or schema
        return Delivered(given, row_key(subject, grant, list(schema.fields)), frozenset(given.fields))
