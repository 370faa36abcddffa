"""Rows that say of themselves that they are deleted."""

from __future__ import annotations

from collections.abc import Callable

from exchange.connect.config import SoftDelete
from exchange.connect.source import Row


def deletes(config: SoftDelete | None) -> Callable[[Row], bool]:
    """A function that tells whether a row is a deletion.

    A number and its text count as equal, because a CSV file has only text:

    >>> gone = deletes(SoftDelete(column="state", values=(9, "sold")))
    >>> [gone({"state": value}) for value in (9, "9", "sold", 1, None)]
    [True, True, True, False, False]
    """
    if config is None:
        return lambda row: False
    column, values = config.column, config.values
    texts = {str(value) for value in values if value is not None and not isinstance(value, bool)}

    def told(row: Row) -> bool:
        value = row.get(column)
        return value in values or (isinstance(value, str | int) and str(value) in texts)

    return told
