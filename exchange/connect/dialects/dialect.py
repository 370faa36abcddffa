"""The questions on which databases differ; each dialect answers all of them, and nobody else asks which one it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import sqlalchemy as sa
from sqlalchemy import Select
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.sql.elements import ColumnElement

from exchange.connect.sink_values import Adapter, Type
from exchange.schema.types import Field

Columns = Sequence[ColumnElement[Any]]


@dataclass(frozen=True)
class Cautions:
    """What about a table could spoil a sink's rows without an error.

    `fault`: why it cannot be written together with the offsets. `blurred`: columns that take different texts for
    equal, and how. `colliding`: the columns of its unique indexes, if an upsert may hit any of them. `coarse`: columns
    that keep only so many digits of a second, where their types do not say it. `nulls_empty`: whether the database
    takes empty text for null; `pads`: whether it takes texts for equal that differ in blanks at their end,
    and bytes that differ in zeros there.
    """

    fault: str | None = None
    blurred: Mapping[str, str] = field(default_factory=dict)
    colliding: frozenset[frozenset[str]] = frozenset()
    coarse: Mapping[str, int] = field(default_factory=dict)
    nulls_empty: bool = False
    pads: bool = False


class Dialect(ABC):
    """One kind of database, as sources read it and sinks write it.

    `name` is what a URL begins with, `title` people's, `drivername` SQLAlchemy's, `example` a URL. `extra`: what pip
    has to install besides the exchange.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    drivername: ClassVar[str]
    example: ClassVar[str]
    extra: ClassVar[str | None] = None
    # Whether a column can hold values of several types.
    mixes_types: ClassVar[bool] = False
    # Whether rows come and go by COPY.
    copies: ClassVar[bool] = False
    # Whether the driver takes values of a statement as they are, so that it needs nothing of SQLAlchemy's to run it.
    binds_plainly: ClassVar[bool] = False
    # Names: the longest that a column can have, in `name_unit`; whether names that differ in case only are one.
    longest_name: ClassVar[int | None] = None
    name_unit: ClassVar[str] = "bytes"
    folds_names: ClassVar[bool] = False
    # Whether tables are made within a transaction, so that this can be undone.
    undoes_ddl: ClassVar[bool] = True
    # Whether the database fills an integer key by itself.
    numbers_keys: ClassVar[bool] = False
    # The column that stands for a row in a subquery of its own table, if the database has one.
    row_id: ClassVar[str | None] = None

    def fault(self, _url: URL) -> str | None:
        """What is wrong with a URL."""
        return None

    @abstractmethod
    def engine(self, url: URL, timeout_s: float, *, writes: bool) -> Engine:
        """An engine whose sessions read, or (`writes`) write, each value unchanged and wait for nothing for ever."""

    @abstractmethod
    def stream(self, connection: Connection, query: Select[Any]) -> Generator[Sequence[Any], None, None]:
        """The rows of a query one by one, as they come from the database."""

    def about(self, _connection: Connection, _query: Select[Any]) -> int | None:
        """About how many rows a query gives, without reading them; None if the database cannot tell."""
        return None

    def kinds(self, _connection: Connection, _query: Select[Any]) -> Mapping[str, str]:
        """Columns of the query that must be read or compared otherwise than by their names: name → kind."""
        return {}

    def exact(self, column: ColumnElement[Any], _kind: str | None) -> ColumnElement[Any]:
        """The column's value without loss."""
        return column

    def ordered(self, column: ColumnElement[Any], _kind: str | None) -> ColumnElement[Any]:
        """The column in an order in which only equal values are equal."""
        return column

    def place(self, value: Any, _kind: str | None) -> Any:
        """A value of the column, to be compared with `ordered`."""
        return value

    def after(self, columns: Columns, values: Columns) -> ColumnElement[bool]:
        """The condition that the columns come after the values, the first deciding before the second."""
        return _pair(columns) > _pair(values)

    def within(self, columns: Columns, first: Columns, last: Columns) -> ColumnElement[bool]:
        """The condition that the columns come neither before `first` nor after `last`."""
        return sa.and_(_pair(columns) >= _pair(first), _pair(columns) <= _pair(last))

    # The names of a sink's table.

    def fold(self, name: str) -> str:
        """The form of a column's name in which this database compares it."""
        return name.lower() if self.folds_names else name

    def is_too_long(self, name: str) -> bool:
        """Whether no column can have that name."""
        size = len(name.encode()) if self.name_unit == "bytes" else len(name)
        return self.longest_name is not None and size > self.longest_name

    # Types and values of a sink's table.

    @abstractmethod
    def column_type(self, field: Field, key_size: int = 0) -> Type:
        """The type of a column that is created for the field, which is one of `key_size` in the key, or in none (0)."""

    @abstractmethod
    def type_name(self, column: Type) -> str:
        """The type as SQL writes it."""

    @abstractmethod
    def keeps(self, field: Field, column: Type) -> bool:
        """Whether a column of that type keeps each value of the field unchanged, or refuses it."""

    @abstractmethod
    def adapter(self, field: Field, column: Type) -> Adapter:
        """A function that makes a value into what the driver stores unchanged there; raises UnstorableError."""

    # Writing.

    @abstractmethod
    def insert(self, table: Any) -> Any:
        """An insert with `excluded`, `on_conflict_do_update` and `on_conflict_do_nothing`, as in PostgreSQL."""

    def takes_columns(self, _connection: Connection) -> bool:
        """Whether a sink can write by columns."""
        return False

    @abstractmethod
    def making(self, engine: Engine) -> AbstractContextManager[Connection]:
        """A transaction that may create tables; one at a time, because the sinks of a database share some of them."""

    @abstractmethod
    def state(self, connection: Connection, table: str, schema: str | None) -> str:
        """A text that changes when the table, its columns or their types change; empty if there is no table."""

    def cautions(self, _connection: Connection, _table: str, _schema: str | None) -> Cautions:
        """What else about a table is in a sink's way."""
        return Cautions()

    def some(self, change: Any, table: sa.TableClause, wanted: ColumnElement[bool], at_most: int) -> Any:
        """The UPDATE or DELETE of the table for so many of the rows that fulfil `wanted`."""
        row = table.c[self.row_id or ""]
        return change.where(wanted, row.in_(sa.select(row).where(wanted).limit(at_most)))

    @abstractmethod
    def check_deferred(self, connection: Connection) -> None:
        """Have the department's deferred constraints checked now: at the commit it is too late to set records aside."""

    def sealed(self, connection: Connection, table: str, schema: str | None) -> str:
        """As `check_deferred`, and then `state`."""
        self.check_deferred(connection)
        return self.state(connection, table, schema)

    @abstractmethod
    def in_time(self, connection: Connection, seconds: float) -> AbstractContextManager[None]:
        """Have statements of this transaction that take longer interrupted."""


def statement(connection: Connection, query: Select[Any]) -> tuple[str, Mapping[str, Any]]:
    """The query as the driver takes it, and its parameters."""
    compiled = query.compile(connection, compile_kwargs={"render_postcompile": True})
    return str(compiled), compiled.params


def spelt_after(columns: Columns, values: Columns) -> ColumnElement[bool]:
    """`Dialect.after` without pairs; the first column stands alone, so that an index is used."""
    beyond = columns[0] > values[0]
    if len(columns) == 1:
        return beyond
    return sa.and_(columns[0] >= values[0], sa.or_(beyond, spelt_after(columns[1:], values[1:])))


def spelt_within(columns: Columns, first: Columns, last: Columns) -> ColumnElement[bool]:
    """`Dialect.within` without pairs."""
    equal = sa.and_(*(column == value for column, value in zip(columns, first, strict=True)))
    return sa.and_(sa.or_(equal, spelt_after(columns, first)), sa.not_(spelt_after(columns, last)))


def _pair(columns: Columns) -> ColumnElement[Any]:
    return sa.tuple_(*columns, types=[sa.types.NullType()] * len(columns))
