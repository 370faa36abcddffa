"""Creates and extends a sink's table, and checks that its names, types and key can hold what is delivered."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.schema import CreateColumn

from exchange.connect.delivered import ROW
from exchange.connect.dialects import known as dialects
from exchange.connect.dialects.dialect import Cautions, Dialect
from exchange.connect.note_types import INNODB, TEXT
from exchange.connect.sink_values import Adapter, Type, UnstorableError, is_fine_enough, kind
from exchange.errors import ConfigError, TransientError
from exchange.schema.types import Field

PLACE = ("_partition", "_offset")
TIME, REPLAY = "_time_ms", "_replay"
OWN: dict[str, Type] = {**dict.fromkeys((*PLACE, TIME), sa.BigInteger()), REPLAY: TEXT}
REMEDY = (
    "name another `table` for the sink, and have the records delivered again (exchange grant replay --again); "
    "this one keeps what it has"
)


class TableMismatchError(ConfigError):
    """A sink's table has columns or a key that do not fit what is delivered."""

    code = "table-mismatch"
    remedy = "change the table, or name another `table` for the sink"


class TableChangedError(TransientError):
    """A sink's table is not as the sink last saw it; the sink starts again and looks at it anew."""

    code = "table-changed"
    remedy = "the sink looks at the table anew, and goes on or says why not"


@dataclass(frozen=True)
class Layout:
    """A table as it is in the database: column types, unique keys, and columns that every row must fill.

    Where the database compares names without regard to case, they are in small letters here.
    """

    dialect: Dialect
    columns: Mapping[str, Type]
    primary: frozenset[str]
    unique: frozenset[frozenset[str]]
    required: frozenset[str]
    cautions: Cautions

    def name(self, name: str) -> str:
        """The form of a column's name in which this database compares it."""
        return self.dialect.fold(name)

    def type_of(self, name: str) -> Type:
        """The type of that column; raises KeyError if there is none."""
        return self.columns[self.name(name)]

    def adapter(self, field: Field, *, tells_apart: bool) -> Adapter:
        """A function that makes the field's values into what its column keeps; `tells_apart`: rows are found by it."""
        convert, cautions = self.dialect.adapter(field, self.type_of(field.name)), self.cautions
        if not cautions.nulls_empty and not (cautions.pads and tells_apart):
            return convert

        def checked(value: Any) -> Any:
            stored = convert(value)
            if stored in ("", b"") and cautions.nulls_empty:
                raise UnstorableError("empty, which the database takes for null")
            if tells_apart and cautions.pads and _is_padded(stored):
                raise UnstorableError("blanks or zeros at the end, without which the database takes it for another")
            return stored

        return checked

    def missing(self, names: Collection[str]) -> list[str]:
        """Those of the names for which there is no column."""
        return [name for name in names if self.name(name) not in self.columns]


def read(connection: Connection, table: str, schema: str | None) -> Layout | None:
    """The layout of that table; None if it does not exist."""
    there = sa.inspect(connection)
    if not there.has_table(table, schema):
        return None
    dialect = dialects.of(connection.engine)
    name = dialect.fold
    columns = there.get_columns(table, schema)
    keys = []
    with suppress(NotImplementedError):  # of SQL Server, whose constraints are among the indexes
        keys = [constraint["column_names"] for constraint in there.get_unique_constraints(table, schema)]
    for index in there.get_indexes(table, schema):
        partial = (f"{connection.dialect.name}_where") in (index.get("dialect_options") or {})
        partial |= bool((index.get("dialect_options") or {}).get("mysql_length"))
        if index["unique"] and not partial and "expressions" not in index:
            keys.append([part for part in index["column_names"] if part is not None])
    return Layout(
        dialect,
        {name(c["name"]): c["type"] for c in columns},
        frozenset(name(part) for part in there.get_pk_constraint(table, schema)["constrained_columns"]),
        frozenset(frozenset(map(name, parts)) for parts in keys),
        frozenset(
            name(c["name"])
            for c in columns
            if not (c["nullable"] or c["default"] is not None or "identity" in c or "computed" in c)
            and c.get("autoincrement") is not True
        ),
        dialect.cautions(connection, table, schema),
    )


def state(connection: Connection, table: str, schema: str | None) -> str:
    """A text that changes when the table, its columns or their types change; empty if there is no table."""
    return dialects.of(connection.engine).state(connection, table, schema)


def create(
    connection: Connection, table: str, schema: str | None, fields: Mapping[str, Field], key: Sequence[str]
) -> None:
    """Create the table for these fields; its primary key is `key` in that order, or else the record's place."""
    dialect, primary = dialects.of(connection.engine), key or PLACE
    types = {n: dialect.column_type(field, len(key) if n in key else 0) for n, field in fields.items()} | OWN
    columns = [
        sa.Column(name, of_type, nullable=name not in (*primary, *PLACE), autoincrement=False)
        for name, of_type in types.items()
    ]
    sa.Table(table, sa.MetaData(schema=schema), *columns, sa.PrimaryKeyConstraint(*primary), **INNODB).create(
        connection
    )


def grow(connection: Connection, table: str, schema: str | None, layout: Layout, fields: Mapping[str, Field]) -> None:
    """Add the columns that the table lacks."""
    types = OWN | {name: layout.dialect.column_type(field) for name, field in fields.items()}
    grown = sa.Table(table, sa.MetaData(schema=schema), *(sa.Column(name, types[name]) for name in types))
    quoted = connection.dialect.identifier_preparer.format_table(grown)
    for name in layout.missing(types):
        column = CreateColumn(grown.c[name]).compile(dialect=connection.dialect)
        connection.exec_driver_sql(f"ALTER TABLE {quoted} ADD {column}")


def check_names(table: str, fields: Collection[str], dialect: Dialect) -> None:
    """Raise TableMismatchError if the database cannot have a column for each of these fields."""
    faults = []
    known: dict[str, str] = {dialect.fold(name): f"the sink's own {name}" for name in (*OWN, ROW)}
    for field in fields:
        name = dialect.fold(field)
        if name in known:
            faults.append(f"field {field} would be one column with {known[name]}")
        known[name] = f"field {field}"
        if dialect.is_too_long(field):
            faults.append(f"field {field} has a name of more than {dialect.longest_name} {dialect.name_unit}")
    if faults:
        remedy = "ask for a grant without that field, or for another name of it"
        raise TableMismatchError(f"{table}: {'; '.join(faults)}", remedy=remedy)


def check(table: str, layout: Layout, fields: Mapping[str, Field], key: Sequence[str]) -> None:
    """Raise TableMismatchError, naming each column and key that would have to be different, if there are any."""
    if absent := layout.missing((*PLACE, *key)):
        raise TableMismatchError(
            f"{table} has no column {', '.join(absent)}: it is not a sink's table, or has another key", remedy=REMEDY
        )
    required = list(_required(layout, fields))
    faults = [*_types(layout, fields, key), *_key(layout, fields, key), *_cautions(layout, fields, key)]
    if faults or required:
        remedy = REMEDY if faults else "give the column a default, or let it be null"
        raise TableMismatchError(f"{table}: {'; '.join([*faults, *required])}", remedy=remedy)


def _types(layout: Layout, fields: Mapping[str, Field], key: Sequence[str]) -> Iterator[str]:
    for name, field in fields.items():
        if layout.missing([name]):
            continue
        there = layout.type_of(name)
        if not layout.dialect.keeps(field, there):
            said = layout.dialect.type_name(there) or "without a type"
            needed = layout.dialect.type_name(layout.dialect.column_type(field, len(key) if name in key else 0))
            yield f"column {name} is {said}, which changes values of {_delivered(field)}; it has to be {needed}"


def _delivered(field: Field) -> str:
    if kind(field) == "decimal":
        return f"the decimal({field.solid.precision}, {field.solid.scale}) that is delivered"
    return f"the {field.solid.means} that is delivered"


def _required(layout: Layout, fields: Mapping[str, Field]) -> Iterator[str]:
    given = {layout.name(name) for name in (*fields, *OWN)}
    numbered = layout.primary if layout.dialect.numbers_keys else frozenset()
    for name in sorted(layout.required - given - numbered):
        yield f"column {name} must not be null and has no default, but is not delivered"


def _key(layout: Layout, fields: Mapping[str, Field], key: Sequence[str]) -> Iterator[str]:
    """Report a missing unique index on exactly the key's columns, and a primary key that is in the way."""
    wanted, place = frozenset(map(layout.name, key or PLACE)), frozenset(PLACE)
    needed = f"the subject's `key: [{', '.join(key)}]`" if key else "a subject without `key`"
    if ROW in key:
        needed = "a grant that hides the subject's key"
    there = f"its primary key is ({_columns(layout.primary)})" if layout.primary else "it has no primary key"
    # A primary key with a column that is not delivered is the department's own numbering.
    is_ours = bool(layout.primary) and layout.primary <= {layout.name(name) for name in (*fields, *PLACE, ROW)}
    if is_ours and layout.primary != wanted and not (key and layout.primary == place):
        yield f"{there}, and {needed} needs ({_columns(wanted)})"
    elif key and wanted != layout.primary and wanted not in layout.unique:
        yield f"{there}, and {needed} needs one, or a unique index, of ({_columns(wanted)})"


def _cautions(layout: Layout, fields: Mapping[str, Field], key: Sequence[str]) -> Iterator[str]:
    """Report what would spoil rows without an error; without a key, rows are deleted by one of the texts."""
    if layout.cautions.fault:
        yield layout.cautions.fault
    for name in key or [name for name, field in fields.items() if kind(field) == "text"]:
        if collation := layout.cautions.blurred.get(layout.name(name)):
            yield f"column {name} takes different texts for equal ({collation}); rows are told apart by it"
    for name, field in fields.items():
        digits = layout.cautions.coarse.get(layout.name(name))
        if kind(field) in ("instant", "local", "time") and not is_fine_enough(field, digits):
            yield f"column {name} keeps {digits} digits of a second only"
    wanted = frozenset(map(layout.name, key))
    for other in layout.cautions.colliding if key else ():
        if other != wanted:
            yield f"a row could replace another with the same ({_columns(other)}), for that is unique, too"


def _is_padded(value: Any) -> bool:
    return value.endswith(" ") if isinstance(value, str) else isinstance(value, bytes) and value.endswith(b"\0")


def _columns(names: Collection[str]) -> str:
    return ", ".join(sorted(names))
