"""What the databases share that compare no pairs, and whose sinks write by MERGE: only their `types` differ."""

from __future__ import annotations

from typing import Any, ClassVar

from sqlalchemy.sql.elements import ColumnElement

from exchange.connect.dialects.dialect import Columns, Dialect, spelt_after, spelt_within
from exchange.connect.dialects.merge import Upsert
from exchange.connect.dialects.merge_types import MergeTypes
from exchange.connect.sink_values import Adapter, Type, or_null
from exchange.schema.types import Field


class MergeDialect(Dialect):
    """A database of that kind."""

    types: ClassVar[MergeTypes]

    def after(self, columns: Columns, values: Columns) -> ColumnElement[bool]:
        return spelt_after(columns, values)

    def within(self, columns: Columns, first: Columns, last: Columns) -> ColumnElement[bool]:
        return spelt_within(columns, first, last)

    def column_type(self, field: Field, key_size: int = 0) -> Type:
        return self.types.column_type(field, key_size)

    def type_name(self, column: Type) -> str:
        return self.types.type_name(column)

    def keeps(self, field: Field, column: Type) -> bool:
        return self.types.keeps_all(field, column)

    def adapter(self, field: Field, column: Type) -> Adapter:
        return or_null(self.types.adapter(field, column))

    def insert(self, table: Any) -> Any:
        return Upsert(table, self.types.merge)
