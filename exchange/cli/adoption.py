"""Wait until every router works under a new epoch, as the ledger tells it."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from exchange.bus import Cluster
from exchange.bus.admin import Admin
from exchange.bus.consume import Consumer, records
from exchange.contract import names
from exchange.ledger import entry as ledger
from exchange.schema import wire


class Adoption:
    """Watches the ledger from the moment it is entered, which is before the epoch is published."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def __enter__(self) -> Self:
        self._consumer = Consumer(self._cluster)
        partitions = self._consumer.partitions(names.LEDGER)
        self._start: dict[tuple[str, int], int] = {}
        if partitions:
            own = (names.LEDGER, ledger.ledger_partition(names.CONTRACT, 0, len(partitions)))
            self._start = self._consumer.end_offsets([own])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close()

    def missing(self, epoch: int, timeout_s: float) -> set[str]:
        """The routers that run and have not taken the epoch in time; empty as soon as all have.

        A router runs while it is in the routers' group: one that died leaves it after 10 s.
        """
        deadline = time.monotonic() + timeout_s
        adopted: set[str] = set()
        with Admin(self._cluster) as admin, Consumer(self._cluster, assignment=self._start) as consumer:
            while True:
                left = admin.clients(names.ROUTER_GROUP) - adopted
                if not left or time.monotonic() > deadline:
                    return left
                for batch in consumer.poll(0.5):
                    for record in records(batch):
                        assert record.value is not None
                        entry = ledger.decode(wire.unpack(record.value)[1])
                        if entry.is_adoption and entry.epoch >= epoch:
                            adopted.add(f"{names.ROUTER_GROUP}.{entry.router}")
