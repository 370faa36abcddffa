"""Rows whose values are texts as PostgreSQL writes them: in columns for kernels, and row by row for everything else.

PostgreSQL's own are those that a query gives, so psycopg's loaders make of them what they make of a query's.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from psycopg.abc import AdaptContext
from psycopg.adapt import AdaptersMap, Transformer
from psycopg.pq import Format

from exchange.connect.source import Bad, Deleted, Row

if TYPE_CHECKING:
    from exchange.records.text_program import Kind
    from exchange.records.text_table import TextTable

_KINDS: Mapping[str, Kind] = {
    "bool": "boolean",
    "int2": "whole",
    "int4": "whole",
    "int8": "whole",
    "oid": "whole",
    "numeric": "decimal",
    "float4": "single",
    "float8": "double",
    "uuid": "uuid",
    "date": "date",
    "time": "time",
    "timestamp": "moment",
    "timestamptz": "instant",
    "bytea": "hex",
}


@dataclass(frozen=True, eq=False)
class TextColumns:
    """The columns of a table of texts: their names, and what the texts say (None: no kernel knows)."""

    names: tuple[str, ...]
    kinds: tuple[Kind | None, ...]

    def is_like(self, other: TextColumns) -> bool:
        """Whether the rows of both have the same columns."""
        return (self.names, self.kinds) == (other.names, other.kinds)

    def column(self, name: str) -> tuple[int, Kind | None]:
        """A column's number and kind."""
        number = self.names.index(name)
        return number, self.kinds[number]


@dataclass(frozen=True, eq=False)
class LoadedColumns(TextColumns):
    """Columns as PostgreSQL writes them, and how psycopg loads them."""

    loads: Any  # psycopg's Transformer
    loaders: tuple[Callable[[bytes], Any], ...]

    @classmethod
    def of(cls, context: AdaptContext, names: Sequence[str], oids: Sequence[int]) -> LoadedColumns:
        """The layout of columns of these types, as psycopg loads them in this context."""
        loads = Transformer.from_context(context)
        loads.set_loader_types(oids, Format.TEXT)
        loaders = tuple(loads.get_loader(oid, Format.TEXT).load for oid in oids)
        return cls(tuple(names), tuple(_kind(context.adapters, oid) for oid in oids), loads, loaders)


def _kind(adapters: AdaptersMap, oid: int) -> Kind | None:
    known = adapters.types.get(oid)
    if known is not None and known.oid == oid and known.name in _KINDS:  # an array is known under its items' name
        return _KINDS[known.name]
    loader = adapters.get_loader(oid, Format.TEXT)
    return "text" if loader in (None, adapters.get_loader(adapters.types["text"].oid, Format.TEXT)) else None


class TextRows(Sequence[Row | Deleted | Bad]):
    """Rows of a page: as `table` for kernels, each loaded only if it is asked for."""

    def __init__(self, layout: TextColumns, table: TextTable) -> None:
        self.layout, self.table = layout, table

    def __len__(self) -> int:
        return self.table.rows

    @abstractmethod
    def __getitem__(self, index: Any) -> Any: ...

    @abstractmethod
    def values(self, column: int) -> list[Any]:
        """What a column's values are in the rows; raises ValueError or an ExchangeError if one cannot be loaded."""

    @abstractmethod
    def deletions(self) -> np.ndarray:
        """bool[n]: which rows may be deletions: they are, or it cannot be told without loading them."""
