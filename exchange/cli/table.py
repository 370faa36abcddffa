"""Rows as a table for people: numbers to the right; without a terminal, nothing is folded."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from exchange.printable import printable


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print the rows under the names of their columns."""
    shown = Table(box=None, pad_edge=False)
    for at, name in enumerate(columns):
        numeric = bool(rows) and isinstance(rows[0][at], int)
        shown.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        shown.add_row(*(f"{value:,}" if isinstance(value, int) else printable(str(value)) for value in row))
    console = Console(markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        console = Console(width=400, markup=False, emoji=False, highlight=False)
    console.print(shown)
