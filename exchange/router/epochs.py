"""Watch the contract topic for new epochs, beside the router's own work."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import Self

from exchange.bus import Cluster
from exchange.bus.consume import Consumer, records
from exchange.contract import epoch as epochs
from exchange.contract import names
from exchange.contract.model import Epoch
from exchange.errors import TransientError

_log = logging.getLogger("exchange.router")


@dataclass(frozen=True, eq=False)
class Published:
    """An epoch as found at `offset` of the contract topic."""

    epoch: Epoch
    offset: int


class EpochWatch:
    """Keeps `newest` at the last epoch published; None until the first is seen."""

    def __init__(self, cluster: Cluster) -> None:
        self.newest: Published | None = None
        self._cluster = cluster
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="epochs", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._thread.join(timeout=5)

    def _follow(self) -> None:
        """Read the topic from its beginning, over and over where Kafka does not answer."""
        while not self._closing.is_set():
            try:
                with Consumer(self._cluster, assignment={(names.CONTRACT, 0): 0}) as consumer:
                    self._read(consumer)
            except TransientError as error:
                _log.warning("the contract topic cannot be read, will try again", extra={"code": error.code})
                self._closing.wait(1.0)

    def _read(self, consumer: Consumer) -> None:
        while not self._closing.is_set():
            for batch in consumer.poll(0.2):
                for record in records(batch):
                    if record.value is not None:
                        self._take(Published(epochs.decode(record.value), record.offset))

    def _take(self, published: Published) -> None:
        if epochs.takes_over(published.epoch, self.newest.epoch if self.newest else None):
            self.newest = published
