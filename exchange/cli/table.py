"""Rows as a table for people: numbers to the right; without a terminal, nothing is folded."""

from __future__ import annotations

from collections.abc import Sequence

import click
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.table import Table

from exchange.printable import printable


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print the rows under the names of their columns."""
    cells = [[_cell(value) for value in row] for row in rows]
    numeric = [bool(rows) and isinstance(value, int) for value in (rows[0] if rows else columns)]
    widths = [max(map(cell_len, (name, *column))) for name, *column in zip(columns, *cells, strict=True)]
    console = Console(markup=False, emoji=False, highlight=False)
    if console.is_terminal and sum(widths) + 2 * (len(widths) - 1) > console.width:
        shown = Table(box=None, pad_edge=False)
        for name, to_the_right in zip(columns, numeric, strict=True):
            shown.add_column(name, justify="right" if to_the_right else "left", overflow="fold")
        for row in cells:
            shown.add_row(*row)
        console.print(shown)
        return
    # Not by rich, which takes a minute for what a case department has in a year.
    lines = []
    for row in ([*columns], *cells):
        padded = (
            " " * (width - cell_len(cell)) + cell if to_the_right else set_cell_size(cell, width)
            for cell, width, to_the_right in zip(row, widths, numeric, strict=True)
        )
        lines.append("  ".join(padded).rstrip())
    click.echo("\n".join(lines))


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else printable(str(value))
