"""Watches the contract topic for new epochs, in a thread beside the work of a router or a connector."""

from __future__ import annotations

import logging
import threading
from typing import Self

from exchange import names
from exchange.bus import Cluster
from exchange.bus.consume import Consumer
from exchange.bus.record import records
from exchange.contract import epoch as epochs
from exchange.epochs import NoContractError, Published, latest_epoch
from exchange.errors import ConfigError, TransientError

_log = logging.getLogger("exchange.epochs")
CONTRACT = (names.CONTRACT_TOPIC, 0)
AGAIN_S = 5.0
LOOK_S = 0.5  # so often it looks whether it is to end; an epoch is seen at once


class ContractUnreadError(TransientError):
    """A router or connector cannot learn which epoch is the newest."""

    code = "contract-unread"
    remedy = "see that the contract topic has leaders; it is waited for"


class EpochWatch:
    """Follows the contract's topic. While it fails, whoever asks it for an epoch gets the error.

    It tries again, unless the topic has something that is not an epoch.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._newest: Published | None = None
        self._failure: Exception | None = None
        self._cluster = cluster
        self._closing = threading.Event()
        self._seen = threading.Condition()
        self._position = 0
        self._thread = threading.Thread(target=self._follow, name="epochs", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._thread.join(timeout=5)

    @property
    def newest(self) -> Published | None:
        """The last epoch published; None until the first is seen."""
        if self._failure:
            raise self._failure
        return self._newest

    def catch_up(self, end: int, timeout_s: float) -> Published:
        """Return the newest epoch, when every one before offset `end` of the contract's topic has been seen.

        NoContractError if there is none.
        """
        with self._seen:
            if not self._seen.wait_for(lambda: self._failure or self._position >= end, timeout_s):
                raise ContractUnreadError(f"the contract's topic was not read to its end in {timeout_s:.0f} s")
        if (newest := self.newest) is None:
            raise NoContractError
        return newest

    def _follow(self) -> None:
        """Read the epoch in force and then new ones; start again whenever Kafka does not answer."""
        while not self._closing.is_set():
            try:
                if found := latest_epoch(self._cluster):
                    self._take(found)
                self._failure = None
                with Consumer(self._cluster, assignment={CONTRACT: found.offset + 1 if found else 0}) as consumer:
                    self._read(consumer)
            except TransientError as error:
                _log.warning("the contract topic cannot be read, will try again", extra={"code": error.code})
                self._closing.wait(1.0)
            except Exception as failure:
                with self._seen:
                    self._failure = failure
                    self._seen.notify_all()
                if not isinstance(failure, ConfigError):  # a person may mend the login or the rights
                    return
                self._closing.wait(AGAIN_S)

    def _read(self, consumer: Consumer) -> None:
        while not self._closing.is_set():
            for batch in consumer.poll(LOOK_S):
                for record in records(batch):
                    if record.value is not None:
                        self._take(Published(epochs.decode(record.value), record.offset))
            positions = consumer.positions()
            if CONTRACT in positions:  # the broker has said where the topic ends
                consumer.collect(0, is_at_rest=True)
            with self._seen:
                self._position, _ = positions.get(CONTRACT, (self._position, 0))
                self._seen.notify_all()

    def _take(self, published: Published) -> None:
        if epochs.takes_over(published.epoch, self._newest.epoch if self._newest else None):
            self._newest = published
