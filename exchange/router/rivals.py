"""Notices another process under this router's name, so that the two do not fence each other for ever."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from exchange.errors import ConfigError

FENCED_AT_MOST = 10
WITHIN_S = 60.0
_log = logging.getLogger("exchange.router")


class DuplicateInstanceError(ConfigError):
    """Two routers run under one name."""

    code = "duplicate-instance"
    remedy = "give each router a name of its own (--instance)"


class Rivals:
    """Counts fencings under one epoch. `apply` fences too, but always with a new epoch."""

    def __init__(self, instance: str, since: Callable[[], float] = time.monotonic) -> None:
        self._instance = instance
        self._since = since
        self._epoch: object = None
        self._times: list[float] = []

    def fenced(self, epoch: object) -> None:
        """Note that this router was fenced under `epoch`; raises DuplicateInstanceError if that happens too often."""
        now = self._since()
        self._times = [at for at in self._times if epoch is self._epoch and now - at < WITHIN_S] + [now]
        self._epoch = epoch
        _log.warning(
            "fenced: either `exchange apply` did not wait for this router, or another one runs under its name",
            extra={"instance": self._instance, "times": len(self._times)},
        )
        if len(self._times) >= FENCED_AT_MOST:
            message = f"another router runs under the name {self._instance}"
            raise DuplicateInstanceError(message)
