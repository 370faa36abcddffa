"""Shows on a terminal how far the workers of a connector have come, while they work."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from exchange.connect.worker import Worker
from exchange.printable import printable

if TYPE_CHECKING:
    from rich.table import Table


@contextmanager
def live(workers: Callable[[], Sequence[Worker]]) -> Iterator[None]:
    """Keep a table of them below the log, if standard error is a terminal; enter it before the log is set up."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console  # only where it is seen: it takes 2 MB
    from rich.live import Live

    with Live(get_renderable=lambda: _table(workers()), console=Console(stderr=True), refresh_per_second=2):
        yield


def _table(workers: Sequence[Worker]) -> Table:
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, pad_edge=False, header_style="bold")
    shown.add_column(no_wrap=True)
    for name in ("rows", "a second", "left", "", "done in", "rejected"):
        shown.add_column(name, justify="right", no_wrap=True)
    shown.add_column("state", overflow="fold")
    for worker in workers:
        at = worker.headway
        left = at.left
        shown.add_row(
            f"{worker.kind} {worker.subject}",
            f"{at.rows:,}",
            f"{at.rate:,.0f}",
            "" if left is None else f"{left:,}",
            "" if left is None else ProgressBar(total=1, completed=at.rows / (at.rows + left) if left else 1, width=20),
            "" if at.left_s is None else f"{at.left_s:,.0f} s",
            Text(f"{at.rejected:,}", style="red" if at.rejected else ""),
            printable(worker.state()),
        )
    return shown
