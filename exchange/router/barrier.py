"""The barrier after a new epoch: every router either has taken the epoch, or cannot commit what it began."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Self

from exchange import names
from exchange.bus import Cluster
from exchange.bus.admin import Admin
from exchange.bus.consume import Consumer
from exchange.bus.record import records_without_kernels
from exchange.epochs import Newest, Published
from exchange.errors import TransientError
from exchange.ledger import entry as ledger
from exchange.ledger.body import decode
from exchange.names import Partition
from exchange.printable import printable
from exchange.records.header import RawBatch
from exchange.schema import wire

ANSWER_S = 0.3  # a router under full load answers in a tenth of that; a fenced one only loses a transaction
_PREFIX = f"{names.ROUTER_GROUP}."
_GROUP, _CONTRACT = "exchange.apply", (names.CONTRACT_TOPIC, 0)


class EpochNotTakenError(TransientError):
    """An epoch is published, but Kafka does not say whether some router may still work under the one before."""

    code = "epoch-not-taken"
    remedy = "run this again until it returns"


@dataclass(frozen=True)
class Passed:
    """How each router passed the barrier, by transactional id.

    `adopted`: works under the new epoch. `late`: was at work but did not answer. `absent`: was not at work.
    The last two kinds were fenced; if such a router goes on, it takes the new epoch first.
    """

    adopted: frozenset[str]
    late: frozenset[str]
    absent: frozenset[str]

    @property
    def text(self) -> str:
        """What `exchange apply` and `grant revoke` tell about it."""
        if not self.adopted | self.late | self.absent:
            return "No record is released under an earlier contract: no router is at work."
        taken = "1 router has" if len(self.adopted) == 1 else f"{len(self.adopted)} routers have"
        told = [f"No record is released under the earlier contract: {taken} taken the new one."]
        if self.late:
            late = ", ".join(sorted(self.late))
            told.append(f"Fenced, because they did not answer at once, and take it when they go on: {late}.")
        if self.absent:
            told.append(f"Fenced, because they are not at work: {', '.join(sorted(self.absent))}.")
        return printable(" ".join(told))


class Adoption:
    """Watches the routers from the moment it is made, which is before the epoch is published.

    `newest` finds the epoch in force; use it only until `passed` is called.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._open: dict[int, set[str]] = {}
        with ExitStack() as clients, ThreadPoolExecutor(2) as pool:
            # At once: a login takes some ten round trips.
            listed, watched = pool.submit(_list, cluster, clients), pool.submit(_watch, cluster, clients)
            self._admin, self._known = listed.result()
            self._consumer, self._start = watched.result()
            self._clients = clients.pop_all()
        self.newest = Newest(self._consumer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._clients.close()

    def has_passed(self, published: Published) -> bool:
        """Whether `passed` already returned for this epoch, in a command that may have died afterwards.

        Kafka may forget this after a week.
        """
        return bool(self._known) and self._admin.committed(_GROUP, _CONTRACT) == _mark(published)

    def passed(self, published: Published, *, answer_s: float = ANSWER_S) -> Passed:
        """Return when no transaction of an epoch before this one can be committed any more.

        A router opens its producer before it reads the contract's topic to its end. So a router whose id is not listed
        now will find the epoch. Of the routers that are listed, members of the group have `answer_s` to say in the
        ledger that they took the epoch; all others are fenced. Raises EpochNotTakenError if Kafka cannot do this now;
        then the promise does not hold.
        """
        try:
            return self._pass(published, answer_s)
        except TransientError as error:
            message = f"epoch {published.epoch.number} is published, but routers may still work under the one before"
            raise EpochNotTakenError(f"{message}: {error.message}") from error

    def _pass(self, published: Published, answer_s: float) -> Passed:
        deadline = time.monotonic() + answer_s
        known = self._known | self._admin.transactional_ids(_PREFIX)
        at_work = known & self._admin.clients(names.ROUTER_GROUP)
        absent = known - at_work
        self._consumer.assign(self._start)
        adopted: set[str] = set()
        while not at_work <= adopted and (left := deadline - time.monotonic()) > 0:
            for batch in self._consumer.poll(left):
                adopted |= self._take(batch, published.epoch.number)
        late = at_work - adopted
        absent &= self._admin.fence(absent | late)  # leaves those that were still fenced: nobody came back under them
        if known:
            self._admin.commit(_GROUP, _CONTRACT, *_mark(published))
        return Passed(frozenset(at_work & adopted), frozenset(late), frozenset(absent))

    def _take(self, batch: RawBatch, epoch: int) -> set[str]:
        """The routers that, as this batch commits, have adopted this epoch or a later one."""
        if batch.header.is_control:
            said = self._open.pop(batch.header.producer_id, set())
            return said if batch.committed else set()
        for record in records_without_kernels(batch):
            if record.key == ledger.record_key(names.CONTRACT_TOPIC, 0) and record.value is not None:
                entry = decode(wire.unpack(record.value)[1])
                if entry.epoch >= epoch:
                    self._open.setdefault(batch.header.producer_id, set()).add(_PREFIX + entry.router)
        return set()


def _list(cluster: Cluster, clients: ExitStack) -> tuple[Admin, set[str]]:
    """A client, and the routers' transactional ids.

    They are listed again when the epoch is published: one listing could miss ids that a coordinator hands over to
    another just then.
    """
    admin = clients.enter_context(Admin(cluster))
    return admin, admin.transactional_ids(_PREFIX)


def _watch(cluster: Cluster, clients: ExitStack) -> tuple[Consumer, dict[Partition, int]]:
    """A client, and where the routers' answers will be in the ledger."""
    # Uncommitted: the open transaction of a router that stands still must not hide what others committed.
    consumer = clients.enter_context(Consumer(cluster, isolation="read_uncommitted", control=True))
    if partitions := consumer.partitions(names.LEDGER_TOPIC):
        place = (names.LEDGER_TOPIC, ledger.ledger_partition(names.CONTRACT_TOPIC, 0, len(partitions)))
        return consumer, consumer.end_offsets([place])
    return consumer, {}


def _mark(published: Published) -> tuple[int, str]:
    """What the administrators' group commits once the barrier of that epoch is passed."""
    epoch = published.epoch
    return published.offset + 1, f"epoch {epoch.number} of {epoch.time.isoformat()}"
