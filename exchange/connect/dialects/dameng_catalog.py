"""What Dameng's catalogue says of a table: it has Oracle's views, but not all columns that SQLAlchemy asks for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mssql, oracle

from exchange.connect.sink_values import Type

_OF_TABLE = "owner = :schema AND table_name = :name"
_THERE = sa.text(f"SELECT COUNT(*) FROM all_tab_columns WHERE {_OF_TABLE}")
_COLUMNS = sa.text(
    "SELECT column_name, data_type, data_length, data_precision, data_scale, nullable, data_default"
    f" FROM all_tab_columns WHERE {_OF_TABLE} ORDER BY column_id"
)
_CONSTRAINTS = sa.text(
    "SELECT c.constraint_name, k.column_name FROM all_constraints c JOIN all_cons_columns k"
    " ON k.owner = c.owner AND k.constraint_name = c.constraint_name AND k.table_name = c.table_name"
    " WHERE c.owner = :schema AND c.table_name = :name AND c.constraint_type = :kind"
    " ORDER BY c.constraint_name, k.position"
)
_INDEXES = sa.text(
    "SELECT i.index_name, c.column_name FROM all_indexes i JOIN all_ind_columns c"
    " ON c.table_owner = i.table_owner AND c.table_name = i.table_name AND c.index_name = i.index_name"
    " WHERE i.table_owner = :schema AND i.table_name = :name AND i.uniqueness = 'UNIQUE'"
    " AND i.index_type <> 'VIRTUAL' ORDER BY i.index_name, c.column_position"
)


def _number(_length: int | None, precision: int | None, scale: int | None) -> Type:
    return oracle.NUMBER(precision or 38, scale or 0)


def _text(length: int | None, _precision: int | None, _scale: int | None) -> Type:
    return sa.VARCHAR(length)


def _plain(of_type: Type) -> Callable[..., Type]:
    return lambda *_: of_type


# A type that is not among these changes values, or nobody knows whether it does.
_TYPES: Mapping[str, Callable[..., Type]] = {
    **dict.fromkeys(("NUMBER", "NUMERIC", "DECIMAL", "DEC"), _number),
    **dict.fromkeys(("VARCHAR", "VARCHAR2", "NVARCHAR", "NVARCHAR2"), _text),
    **dict.fromkeys(("CLOB", "TEXT", "LONGVARCHAR"), _plain(sa.CLOB())),
    **dict.fromkeys(("BLOB", "LONGVARBINARY"), _plain(sa.BLOB())),
    **dict.fromkeys(("VARBINARY", "RAW"), lambda length, *_: sa.VARBINARY(length)),
    **dict.fromkeys(("TIMESTAMP", "DATETIME"), _plain(sa.TIMESTAMP())),
    **dict.fromkeys(("DOUBLE", "DOUBLE PRECISION"), _plain(sa.DOUBLE_PRECISION())),
    **dict.fromkeys(("INT", "INTEGER"), _plain(sa.INTEGER())),
    "BIGINT": _plain(sa.BIGINT()),
    "SMALLINT": _plain(sa.SMALLINT()),
    "TINYINT": _plain(mssql.TINYINT()),
    "DATE": _plain(sa.DATE()),
}


def type_of(name: str, length: int | None, precision: int | None, scale: int | None) -> Type:
    """The type that the catalogue calls so."""
    made = _TYPES.get(re.sub(r"\(.*?\)", "", name.upper()).strip())
    return made(length, precision, scale) if made else sa.types.NullType()


class Catalog:
    """The part of a dialect of SQLAlchemy's that looks at tables."""

    normalize_name: Callable[[str], str]
    denormalize_name: Callable[[str], str]
    default_schema_name: str | None

    def place(self, table: str, schema: str | None) -> dict[str, str]:
        """The table as the catalogue has it: names in small letters are in large ones there."""
        return {
            "schema": self.denormalize_name(schema or self.default_schema_name or ""),
            "name": self.denormalize_name(table),
        }

    def has_table(self, connection: Any, table_name: str, schema: str | None = None, **_: Any) -> bool:
        return bool(connection.scalar(_THERE, self.place(table_name, schema)))

    def get_columns(self, connection: Any, table_name: str, schema: str | None = None, **_: Any) -> list[Any]:
        rows = connection.execute(_COLUMNS, self.place(table_name, schema))
        return [
            {
                "name": self.normalize_name(name),
                "type": type_of(*of_type),
                "nullable": nullable == "Y",
                "default": default,
            }
            for name, *of_type, nullable, default in rows
        ]

    def get_pk_constraint(self, connection: Any, table_name: str, schema: str | None = None, **_: Any) -> Any:
        keys = self._named(connection, _CONSTRAINTS, {**self.place(table_name, schema), "kind": "P"})
        name, columns = next(iter(keys.items()), (None, []))
        return {"name": name, "constrained_columns": columns}

    def get_unique_constraints(
        self, connection: Any, table_name: str, schema: str | None = None, **_: Any
    ) -> list[Any]:
        keys = self._named(connection, _CONSTRAINTS, {**self.place(table_name, schema), "kind": "U"})
        return [{"name": name, "column_names": columns} for name, columns in keys.items()]

    def get_indexes(self, connection: Any, table_name: str, schema: str | None = None, **_: Any) -> list[Any]:
        """Those that are unique."""
        keys = self._named(connection, _INDEXES, self.place(table_name, schema))
        return [{"name": name, "column_names": columns, "unique": True} for name, columns in keys.items()]

    def _named(self, connection: Any, query: Any, values: Mapping[str, str]) -> dict[str, list[str]]:
        """The columns of each key."""
        keys: dict[str, list[str]] = {}
        for name, column in connection.execute(query, values):
            keys.setdefault(name, []).append(self.normalize_name(column))
        return keys
