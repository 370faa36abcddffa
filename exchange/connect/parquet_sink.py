"""A sink that drops Parquet files: it takes in as any sink does, and looks after each step whether files are due."""

from __future__ import annotations

from exchange.connect.parquet_table import ParquetTable
from exchange.connect.sink import Sink, Taken


class ParquetSink(Sink):
    """Takes records from an inbox into a `ParquetTable`."""

    def step(self, timeout_s: float) -> Taken:
        taken = super().step(timeout_s)
        assert isinstance(self._table, ParquetTable)
        self._table.drop_if_due()
        return taken
