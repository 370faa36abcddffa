"""An insert that replaces rows of the same key, for databases whose word for that is MERGE."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Self

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.elements import ClauseElement, ColumnElement
from sqlalchemy.sql.expression import Executable


class Spelling(NamedTuple):
    """How a database writes MERGE: what stands behind the table, a source of one row, and the statement's end."""

    hint: str
    source: str
    end: str


class Upsert(Executable, ClauseElement):
    """An insert with `excluded`, `on_conflict_do_update` and `on_conflict_do_nothing`, as in PostgreSQL.

    Each value is bound by its column's name where the column is, never in the source: there it would have no type.
    """

    inherit_cache = False

    def __init__(self, table: Any, spelling: Spelling) -> None:
        self.table, self.spelling = table, spelling
        self.given: Mapping[str, Any] | None = None
        self.key: tuple[str, ...] = ()
        self.set: Mapping[str, Any] = {}

    @property
    def excluded(self) -> _Excluded:
        """The values that were to be inserted."""
        return _Excluded(self)

    def values(self, row: Mapping[str, Any] | None = None, **more: Any) -> Self:
        """Insert this row, instead of those that are executed with the statement."""
        self.given = {**(row or {}), **more}
        return self

    def on_conflict_do_update(
        self, *, index_elements: Iterable[Any], set_: Mapping[str, Any], where: ColumnElement[bool] | None = None
    ) -> Self:
        """Replace these columns of the row with the same key, if it fulfils `where`."""
        self.key = tuple(str(getattr(each, "name", each)) for each in index_elements)
        if where is None:
            self.set = set_
        else:
            self.set = {
                name: sa.case(
                    (where, value if isinstance(value, ClauseElement) else sa.literal(value)), else_=self.table.c[name]
                )
                for name, value in set_.items()
            }
        return self

    def on_conflict_do_nothing(self) -> Self:
        """Leave the row with the same primary key as it is."""
        return self.on_conflict_do_update(index_elements=self.table.primary_key, set_={})

    def names(self) -> list[str]:
        """The columns that are inserted."""
        return list(self.given) if self.given is not None else [column.name for column in self.table.c]

    def value(self, name: str) -> ColumnElement[Any]:
        """The value that is inserted into that column."""
        of_type = self.table.c[name].type
        if self.given is None:
            return sa.bindparam(name, type_=of_type)
        given = self.given[name]
        return given if isinstance(given, ColumnElement) else sa.bindparam(name, given, type_=of_type)


def _clause(value: Any) -> ColumnElement[Any]:
    return value if isinstance(value, ColumnElement) else sa.literal(value)


class _Excluded:
    def __init__(self, of: Upsert) -> None:
        self._of = of

    def __getitem__(self, name: str) -> ColumnElement[Any]:
        return self._of.value(name)

    __getattr__ = __getitem__


@compiles(Upsert)
def _upsert(element: Upsert, compiler: Any, **options: Any) -> str:
    def said(value: Any, column: ColumnElement[Any]) -> str:
        bound = value if isinstance(value, ClauseElement) else sa.literal(value, type_=column.type)
        return str(compiler.process(bound, **options))

    quote, spelling, columns = compiler.preparer.quote, element.spelling, element.table.c
    table, names = compiler.process(element.table, asfrom=True, **options), element.names()
    given = ", ".join(said(element.value(name), columns[name]) for name in names)
    inserted = f"({', '.join(map(quote, names))}) VALUES ({given})"
    if not element.key:
        return f"INSERT INTO {table} {inserted}"
    same = " AND ".join(compiler.process(columns[name] == element.value(name), **options) for name in element.key)
    parts = [f"MERGE INTO {table}{spelling.hint} USING {spelling.source} ON ({same})"]
    if element.set:
        changed = (f"{quote(name)} = {said(value, columns[name])}" for name, value in element.set.items())
        parts.append(f"WHEN MATCHED THEN UPDATE SET {', '.join(changed)}")
    return " ".join([*parts, f"WHEN NOT MATCHED THEN INSERT {inserted}"]) + spelling.end
