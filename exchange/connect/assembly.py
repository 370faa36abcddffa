"""Puts sources, encoders and tables together as connector.yaml describes them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import sqlalchemy
from sqlalchemy.engine import Engine

from exchange.connect import database, user_code
from exchange.connect.config import Csv, Database, Excel, SinkConfig, SourceConfig
from exchange.connect.convert import converter, simple_defaults
from exchange.connect.csv_rows import CsvReader
from exchange.connect.database import DatabaseConfigError, Paths
from exchange.connect.debezium.assembled import assembled
from exchange.connect.delivered import Delivered
from exchange.connect.drop_folder import path_of
from exchange.connect.file_source import FileReader, FileSource
from exchange.connect.full_files import FullFileSource
from exchange.connect.parquet_table import STATE, ParquetTable
from exchange.connect.publish import Encoder
from exchange.connect.rehearsal import rehearse, require_writable
from exchange.connect.remote_folder import RemoteFolder
from exchange.connect.remote_source import RemoteSource
from exchange.connect.roll_call import RollCall
from exchange.connect.rounding import coarser, declared
from exchange.connect.row_key import NoRowKeyError, RowKey
from exchange.connect.sink_table import SinkTable
from exchange.connect.source import Source
from exchange.connect.sql_source import SqlSource
from exchange.connect.sweep import SweptTable
from exchange.connect.web.pulled import pulled
from exchange.connect.web.signed_events import Hook
from exchange.connect.web.web_config import Webhook
from exchange.connect.web.webhook import HookTable
from exchange.contract.key import name_schema
from exchange.contract.model import Subject
from exchange.names import inbox_topic
from exchange.schema.avro import Schema

if TYPE_CHECKING:
    from exchange.connect.column_encoder import ColumnEncoder


class Assembly:
    """Makes the parts of one department's connector; raises ConfigError if the file does not allow it."""

    def __init__(self, paths: Paths, fallback: Database | None) -> None:
        self._paths = paths
        self._fallback = fallback

    def source(self, config: SourceConfig, schema: Schema, encoder: Encoder | None = None) -> Source:
        """A source that is not open yet; with an encoder, one that also notices what is gone, if the file says so.

        With `cdc` or `debezium` in the file, it needs the encoder, for the subject's key.
        """
        if config.python is not None:
            return user_code.source(self._paths.folder, config.python, config.options)
        columns = columns_of_fields(config, schema)
        # A transform may make any field from any column.
        required = () if config.transform else required_columns(config, schema)
        if config.debezium is not None:
            assert encoder is not None
            return assembled(config, self._paths, schema, columns, required, encoder)
        wanted = None if config.transform else tuple(columns.values())
        if config.http is not None:
            return pulled(config, self._paths, wanted, encoder)
        roll_call = RollCall(config, encoder) if encoder is not None and config.infers_deletions else None
        if config.drop is not None:
            folder, reader = path_of(config, self._paths), _reader(config.drop)
            made = (
                FullFileSource(config, folder, reader, wanted, required, roll_call)
                if roll_call is not None
                else FileSource(config, folder, reader, wanted, required)
            )
            if config.drop.remote is None:
                return made
            return RemoteSource(config, folder, RemoteFolder(config.drop, self._paths), made)
        if config.cdc is not None:
            from exchange.connect.cdc.capture import CaptureSource  # kernels, which only those who need them load

            assert encoder is not None
            connect = partial(database.connection, self._database(config), self._paths)
            return CaptureSource(config, connect, tuple(columns[name] for name in encoder.key), wanted, required)
        engine = self._engine(config, writes=False)
        if roll_call is not None:
            return SweptTable(config, engine, wanted, required, roll_call)
        return SqlSource(config, engine, wanted, required)

    def encoder(self, config: SourceConfig, subject: Subject, schema_id: int, schema: Schema) -> Encoder:
        """What turns the source's rows into records; raises UndeclaredLossError if it may not round so."""
        declared(config.round, subject, schema)
        zone = ZoneInfo(config.timezone)
        convert = converter(
            schema,
            config.columns,
            timezone=config.timezone,
            null_text=config.csv.null if config.csv else None,
            before={name: coarser(schema.fields[name], how, zone) for name, how in config.round.items()},
        )
        transform = user_code.transform(self._paths.folder, config.transform) if config.transform else None
        columns = partial(_column_encoder, config, subject, schema_id, schema)
        row_key = self._row_key(config, subject, schema)
        return Encoder(subject, schema_id, schema, convert, transform, row_key, columns)

    def _row_key(self, config: SourceConfig, subject: Subject, schema: Schema) -> RowKey | None:
        if not subject.key:
            if config.deleted is not None or config.infers_deletions:
                raise NoRowKeyError(subject.id)
            return None
        names, zone = name_schema(schema, subject.key), ZoneInfo(config.timezone)
        before = {n: coarser(schema.fields[n], how, zone) for n, how in config.round.items() if n in subject.key}
        return RowKey(subject, names, converter(names, config.columns, timezone=config.timezone, before=before))

    def table(self, config: SinkConfig, subject: Subject, key: Sequence[str]) -> SinkTable:
        """The table that a sink fills, or what takes its place; these columns tell its rows apart."""
        if config.webhook is not None:
            offsets = Database(url=f"sqlite:///{self._paths.home / 'webhooks' / config.subject}.db")
            hook = self.hook(config, config.webhook)
            return HookTable(database.engine(offsets, self._paths, writes=True), key, subject.entity.field, hook)
        if config.parquet is not None:
            folder = self._paths.path(config.parquet.folder)
            state = database.engine(Database(url=f"sqlite:///{folder / STATE}"), self._paths, writes=True)
            return ParquetTable(state, folder, config.parquet, key, subject.entity.field)
        return SinkTable(self._engine(config, writes=True), config.table_name, key, subject.entity.field)

    def hook(self, config: SinkConfig, webhook: Webhook) -> Hook:
        """What sends a sink's events; raises ConfigError if it could send none."""
        return Hook(webhook, self._paths, config.subject)

    def rehearse(self, config: SinkConfig, reader: str, subject: Subject, delivered: Delivered) -> None:
        """Do what a sink would do, and undo it; raises what the sink would raise."""
        if config.parquet is not None:
            require_writable(self._paths.path(config.parquet.folder) / STATE)
            state = sqlalchemy.create_engine("sqlite://")
            ParquetTable(state, Path(), config.parquet, delivered.key, subject.entity.field).examine(delivered.schema)
            return
        topic = inbox_topic(reader, subject.id)
        rehearse(config, self._database(config), self._paths, topic, subject.entity.field, delivered)

    def _engine(self, config: SourceConfig | SinkConfig, *, writes: bool) -> Engine:
        chosen = self._database(config)
        if not writes:
            database.require_file(chosen, self._paths)
        return database.engine(chosen, self._paths, writes=writes)

    def _database(self, config: SourceConfig | SinkConfig) -> Database:
        chosen = config.database or self._fallback
        if chosen is None:
            raise DatabaseConfigError(
                f"{config.subject} has no database", remedy="give `database: …` at the file's top"
            )
        return chosen


def _reader(drop: Csv | Excel) -> FileReader:
    if isinstance(drop, Excel):
        from exchange.connect.excel_rows import ExcelReader  # what reads XML, which only those who need it load

        return ExcelReader(drop)
    return CsvReader(drop)


def _column_encoder(config: SourceConfig, subject: Subject, schema_id: int, schema: Schema) -> ColumnEncoder:
    from exchange.connect.column_encoder import ColumnEncoder  # kernels, which only those who need them load

    null_text = config.csv.null if config.csv else None
    return ColumnEncoder(subject, schema_id, schema, config.columns, config.timezone, config.round, null_text)


def columns_of_fields(config: SourceConfig, schema: Schema) -> dict[str, str]:
    """The column from which each field is filled."""
    return {name: config.columns.get(name, name) for name in schema.fields}


def required_columns(config: SourceConfig, schema: Schema) -> tuple[str, ...]:
    """The columns that must exist: those of fields without a default, and those that the file names."""
    defaults = simple_defaults(schema.type)
    named = set(config.columns) - {field for field, column in config.columns.items() if column in config.optional}
    return tuple(c for field, c in columns_of_fields(config, schema).items() if field not in defaults or field in named)
