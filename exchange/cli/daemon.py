"""What every daemon does around its loop: logging, signals, metrics and health."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import click

from exchange import logs, metrics, metrics_server
from exchange.errors import ExchangeError, TransientError
from exchange.settings import Settings

metrics_port_option = click.option(
    "--metrics-port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default=True,
    help="Port of /metrics and /healthz; 0 picks a free one and logs it.",
)
_log = logging.getLogger("exchange.daemon")


@contextmanager
def daemon(
    settings: Settings, metrics_port: int, health: Callable[[], metrics.Health] = lambda: metrics.Health(ok=True)
) -> Iterator[threading.Event]:
    """Yield the event that SIGTERM or SIGINT sets; the loop inside ends soon after, and so does the process.

    A second signal ends the process at once: what was not committed is replayed at the next start.
    """
    logs.configure(settings.log_level)
    stop = threading.Event()

    def ask_to_stop(number: int, _frame: FrameType | None) -> None:
        stop.set()
        signal.signal(number, signal.SIG_DFL)

    before = {number: signal.signal(number, ask_to_stop) for number in (signal.SIGTERM, signal.SIGINT)}
    for code in _codes(TransientError):
        metrics.TRANSACTION_FAILURES.labels(code)  # from 0 on: if it appeared later, Prometheus would see no increase
    server = metrics_server.serve(settings.metrics_host, metrics_port, health)
    _log.info("started", extra={"address": server.address})
    try:
        yield stop
    finally:
        server.close()
        for number, handler in before.items():
            signal.signal(number, handler)
        _log.info("stopped")


def _codes(branch: type[ExchangeError]) -> Iterator[str]:
    """The codes of a branch of errors, as far as this daemon has loaded them."""
    yield branch.code
    for leaf in branch.__subclasses__():
        yield from _codes(leaf)
