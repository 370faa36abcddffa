"""An office: one department's databases and drop folders, as its connector describes them."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from exchange import private
from exchange.connect.config import Csv, SoftDelete, SourceConfig
from exchange.connect.database import Paths, engine, translated
from exchange.connect.load import load
from exchange.contract.model import Subject
from exchange.errors import ConfigError
from exchange.schema.avro import Schema
from exchange.schema.types import Field

FILE_ROWS = 20_000

# Departments keep these fields in a form of their own; their connector's transform.py converts it to the record's.
FLAT: Mapping[tuple[str, str], Sequence[str]] = {
    ("social-security.contribution", "insurances"): (
        "pension_employee",
        "pension_employer",
        "medical_employee",
        "medical_employer",
    ),
}


class OfficeError(ConfigError):
    """A department's connector does not say where the generator can put the department's rows."""

    code = "city-office"
    remedy = "name the table in connector.yaml"


@dataclass(frozen=True)
class SubjectRows:
    """Where one subject's rows are kept: a table, a folder for CSV drops if there is one, and the zone of its times.

    `deleted` says which rows of the table count as deleted.
    """

    subject: str
    table: sa.Table
    drop: Path | None
    csv: Csv | None
    timezone: str
    deleted: SoftDelete | None

    @property
    def is_full(self) -> bool:
        """Whether a dropped file is the whole register."""
        return self.csv is not None and self.csv.mode == "full"

    def there(self) -> sa.ColumnElement[bool]:
        """The condition that a row is not deleted."""
        if self.deleted is None:
            return sa.true()
        column = self.table.c[self.deleted.column]
        return column.is_(None) | column.not_in(self.deleted.values)


class Office:
    """The database of one department, with the tables of its subjects."""

    def __init__(self, department: str, folder: Path, home: Path, subjects: Iterable[tuple[Subject, Schema]]) -> None:
        self.department = department
        config = load(folder, department).config
        paths = Paths(folder / department, home)
        if config.database is None:
            raise OfficeError(f"{folder / department}: no database", remedy="name one in connector.yaml")
        self.config = config
        self.engine: Engine = engine(config.database, paths, writes=True)
        sources = {source.subject: source for source in config.sources}
        self.desks = {
            subject.id: _desk(subject, schema, sources[subject.id], paths)
            for subject, schema in subjects
            if subject.owner == department and subject.id in sources
        }

    @property
    def sqlite(self) -> bool:
        """Whether the database is SQLite."""
        return self.engine.dialect.name == "sqlite"

    def rows(self, desk: SubjectRows) -> int | None:
        """The number of rows in the table; None if it does not exist."""
        with translated(f"{self.department}: {desk.subject}"), self.engine.connect() as connection:
            if not sa.inspect(connection).has_table(desk.table.name, schema=desk.table.schema):
                return None
            return connection.execute(sa.select(sa.func.count()).select_from(desk.table)).scalar_one()

    def clear(self, desk: SubjectRows) -> None:
        """Create the table and the drop folder anew, empty."""
        with translated(f"{self.department}: {desk.subject}"), self.engine.begin() as connection:
            if desk.table.schema:
                connection.execute(sa.schema.CreateSchema(desk.table.schema, if_not_exists=True))
            desk.table.drop(connection, checkfirst=True)
            connection.execute(sa.schema.CreateTable(desk.table))
        if desk.drop:
            shutil.rmtree(desk.drop, ignore_errors=True)
            desk.drop.mkdir(parents=True)

    def index(self, desk: SubjectRows) -> None:
        """Index the table by what its connector reads; call it after the rows are inserted, which is much faster."""
        with translated(f"{self.department}: {desk.subject}"), self.engine.begin() as connection:
            for index in desk.table.indexes:
                index.create(connection)

    def insert(self, desk: SubjectRows, columns: Mapping[str, Sequence[Any]]) -> None:
        """Append one chunk of rows, given as columns."""
        names = [column.name for column in desk.table.columns if column.name in columns]
        rows = zip(*(columns[name] for name in names), strict=True)
        with translated(f"{self.department}: {desk.subject}"), self.engine.begin() as connection:
            quoted = [connection.dialect.identifier_preparer.quote(name) for name in names]
            target = connection.dialect.identifier_preparer.format_table(desk.table)
            cursor: Any = connection.connection.cursor()
            if self.sqlite:
                marks = ", ".join("?" * len(names))
                cursor.executemany(f"INSERT INTO {target} ({', '.join(quoted)}) VALUES ({marks})", rows)
                return
            with cursor.copy(f"COPY {target} ({', '.join(quoted)}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)

    def change(
        self,
        desk: SubjectRows,
        updates: Iterable[tuple[Sequence[int], Mapping[str, Sequence[Any]]]],
        deleted: Sequence[int],
        moment: datetime,
    ) -> None:
        """Give rows other values (ids, columns), and delete rows, as the department does it; in one transaction."""
        updates = list(updates)
        if desk.deleted is not None:
            updates.append((deleted, {desk.deleted.column: [desk.deleted.values[0]] * len(deleted)}))
        table = desk.table
        row: sa.BindParameter[int] = sa.bindparam("row")
        with translated(f"{self.department}: {desk.subject}"), self.engine.begin() as connection:
            for ids, columns in updates:
                new: dict[str, Any] = {name: sa.bindparam(f"new_{name}") for name in columns}
                change = sa.update(table).where(table.c.id == row).values({**new, "updated_at": moment})
                rows = zip(ids, *columns.values(), strict=True)
                if values := [dict(zip(("row", *(f"new_{n}" for n in columns)), each, strict=True)) for each in rows]:
                    connection.execute(change, values)
            if deleted and desk.deleted is None:
                connection.execute(sa.delete(table).where(table.c.id == row), [{"row": each} for each in deleted])

    def columns(self, desk: SubjectRows, ids: Sequence[int] | None) -> dict[str, list[Any]]:
        """The rows with these ids, or all rows, as columns."""
        query = sa.select(desk.table).order_by(desk.table.c.id)
        if ids is not None:
            query = query.where(desk.table.c.id.in_(ids))
        with translated(f"{self.department}: {desk.subject}"), self.engine.connect() as connection:
            rows = connection.execute(query).all()
        return {column.name: [row[at] for row in rows] for at, column in enumerate(desk.table.columns)}

    def deliver(self, desk: SubjectRows, columns: Mapping[str, Sequence[Any]], broken: Sequence[str]) -> None:
        """Drop CSV files with these rows; the first file has the `broken` lines at its end."""
        started, size = columns["id"][0], len(columns["id"])
        for first in range(0, size, FILE_ROWS):
            part = {name: values[first : first + FILE_ROWS] for name, values in columns.items()}
            lines = broken if first == 0 and started == 1 else ()
            self.drop(desk, f"{desk.subject}-{started + first:09d}.csv", part, lines)

    def drop(
        self, desk: SubjectRows, name: str, columns: Mapping[str, Sequence[Any]], broken: Sequence[str] = ()
    ) -> None:
        """Drop one CSV file with these rows, and the `broken` lines at its end."""
        assert desk.drop is not None
        assert desk.csv is not None
        names = [each for each in columns if each not in ("id", "created_at")]
        text = io.StringIO()
        writer = csv.writer(text, delimiter=desk.csv.delimiter)
        writer.writerow(names)
        writer.writerows(zip(*(columns[each] for each in names), strict=True))
        text.writelines(f"{line}\r\n" for line in broken)
        private.write(desk.drop / name, text.getvalue().encode(desk.csv.encoding), 0o666)


def _desk(subject: Subject, schema: Schema, source: SourceConfig, paths: Paths) -> SubjectRows:
    drop = paths.path(source.csv.folder) if source.csv else None
    name = source.table or subject.name.replace("-", "_")
    owner, _, bare = name.rpartition(".")
    columns: list[sa.Column[Any]] = [
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True)
    ]
    for field in schema.fields.values():
        names = FLAT.get((subject.id, field.name), (field.name,))
        columns += [sa.Column(column, _type(field)) for column in names]
    if source.deleted and source.deleted.column not in schema.fields:
        columns.append(sa.Column(source.deleted.column, sa.Text))
    kept = [name for name in ("updated_at", "created_at") if name not in schema.fields]
    columns += [sa.Column(name, sa.DateTime) for name in kept]
    table = sa.Table(bare, sa.MetaData(), *columns, schema=owner or None)
    sa.Index(f"{bare}_cursor", table.c.updated_at, table.c.id)
    if source.sweep:
        sa.Index(f"{bare}_key", *(table.c[name] for name in subject.key))
    return SubjectRows(subject.id, table, drop, source.csv, source.timezone, source.deleted)


def _type(field: Field) -> sa.types.TypeEngine[Any]:
    """The column's type. Columns are nullable and enums are text, as in old databases."""
    if field.solid.means == "decimal" or field.name == "insurances":
        return sa.Numeric(18, 2)
    if field.solid.means == "date":
        return sa.Date()
    if field.solid.means == "timestamp-millis":
        return sa.DateTime()
    plain: dict[str, sa.types.TypeEngine[Any]] = {
        "int": sa.Integer(),
        "long": sa.BigInteger(),
        "double": sa.Float(53),
        "boolean": sa.Boolean(),
    }
    return plain.get(field.solid.kind, sa.Text())
