"""Makes true what a reader holds: one grant, one partition at a time, whose live flow waits meanwhile.

It reads the retained source up to where the live flow stands, twice: first to learn which record is the latest of its
row, then to decide these. What it has done is written with its deliveries, so that a kill does no harm.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import TypeVar

import numpy as np

from exchange import names
from exchange.bus import Cluster
from exchange.bus.consume import Consumer
from exchange.contract.epoch import alone, resyncs_due
from exchange.contract.model import Epoch, Grant, Resync
from exchange.contract.period import ms_of
from exchange.names import Partition
from exchange.records.row_table import RowTable
from exchange.records.scan import Run
from exchange.records.tags import Tagger
from exchange.router.choose import Again
from exchange.router.gather import MAX_RUN_RECORDS
from exchange.router.held import Progress
from exchange.router.holdings import Holdings
from exchange.router.in_force import InForce
from exchange.router.quarantine import examine
from exchange.router.quotas import Quotas
from exchange.router.ready import ReadySubject, make_ready
from exchange.router.retained import MAX_BATCHES, retained
from exchange.router.step import RunSource, step
from exchange.router.write import Decided, Writer

_log = logging.getLogger("exchange.router")
_MOST_OFFSETS = np.iinfo(np.int32).max - 1
T = TypeVar("T")


class Resyncs:
    """The resynchronisations that this router has to do, one after the other."""

    def __init__(
        self,
        cluster: Cluster,
        holdings: Holdings,
        tagger: Tagger,
        quotas: Quotas,
        instance: str,
        pseudonym_key: bytes,
    ) -> None:
        self._cluster = cluster
        self._holdings = holdings
        self._tagger = tagger
        self._quotas = quotas
        self._instance = instance
        self._pseudonym_key = pseudonym_key
        self._done: set[tuple[Partition, str]] = set()
        self._job: _Job | None = None
        self._work: Iterator[tuple[Run, Again] | None] = iter(())

    @property
    def busy(self) -> set[Partition]:
        """The partition whose live flow waits."""
        return {self._job.place} if self._job else set()

    def give_up(self) -> None:
        """Begin again with what is committed."""
        self._job, self._work = None, iter(())

    def are_due(self, under: InForce, source: Consumer, now: datetime) -> bool:
        """Whether there is something to do; if not, this costs hardly anything."""
        if self._job and (self._job.epoch is not under.epoch or not self._job.subject.holds_at(now)):
            self.give_up()
        return self._job is not None or any(True for _ in self._found(under, source, now))

    def go_on(self, under: InForce, source: Consumer, writer: Writer, now: datetime) -> None:
        """Do the next part of what is due, in a transaction of its own; no other may be open."""
        if self._job:
            self._do(self._job, source, writer, now)
            return
        for place, resync, grant, progress in islice(self._found(under, source, now), 1):
            ready = make_ready(alone(under.epoch, grant), grant.subject, now, self._pseudonym_key)
            at = progress._replace(until=source.committed([place]).get(place, 0))
            job = _Job(self._cluster, self._tagger, place, resync, under.epoch, ready, at)
            source.rewind({job.place})  # what was read of it meanwhile is read again, when its live flow goes on
            self._job, self._work = job, job.work()
            _log.info("begins to make true what a reader holds", extra=job.facts)

    def _do(self, job: _Job, source: Consumer, writer: Writer, now: datetime) -> None:
        try:
            due = next(self._work)
        except StopIteration:
            self._done.add((job.place, job.resync.id))
            self.give_up()
            _log.info("what a reader holds is true", extra=job.facts)
            return
        if due:
            run, again = due
            at = RunSource(*job.place, job.epoch.number, self._instance, ms_of(now), job.resync.id)
            held = self._holdings.of([job.place])[job.place]
            made = step(run, job.subject, at, self._tagger, self._quotas.allow, held, again)
            # The offset stays: with it, nobody writes who has lost the partition.
            decided = Decided([made], {job.place: again.progress.until}, source.membership(), self._quotas.begin())
            writer.decided(decided, job.epoch.ledger)
            self._quotas.committed()

    def _found(
        self, under: InForce, source: Consumer, now: datetime
    ) -> Iterator[tuple[Partition, Resync, Grant, Progress]]:
        """What is to be done in the partitions of this router, and how far it has come."""
        if not under.epoch.resyncs:
            return
        positions = source.positions()
        for resync, grant in resyncs_due(under.epoch, now):
            topic = names.subject_topic(grant.subject)
            for place in sorted(place for place in positions if place[0] == topic and positions[place][0]):
                if (place, resync.id) in self._done or under.at(topic, now) is None:
                    continue
                progress = self._progress(place, resync)
                if progress is not None and not progress.is_done:
                    yield place, resync, grant, progress

    def _progress(self, place: Partition, resync: Resync) -> Progress | None:
        """How far it has come there; None if that cannot be known for now."""
        held = self._holdings.of([place]).get(place)
        if held is None:
            return None
        progress = held.progress.get(resync.id, Progress(0, 1))
        if progress.is_done:
            self._done.add((place, resync.id))
        return progress


@dataclass(frozen=True, eq=False)
class _Job:
    """One resynchronisation of one partition under one epoch."""

    cluster: Cluster
    tagger: Tagger
    place: Partition
    resync: Resync
    epoch: Epoch
    subject: ReadySubject
    progress: Progress

    @property
    def facts(self) -> dict[str, object]:
        """What a log says of it."""
        return {"resync": self.resync.id, "grant": self.resync.grant, "partition": f"{self.place[0]}/{self.place[1]}"}

    def work(self) -> Iterator[tuple[Run, Again] | None]:
        """Learn, yielding None after each part, then yield what is to be decided."""
        until, latest = self.progress.until, RowTable()
        with Consumer(self.cluster, max_batches=MAX_BATCHES) as consumer:
            start = max(consumer.begin_offsets([self.place])[self.place], until - _MOST_OFFSETS)
            for _, run in retained(consumer, {self.place: (start, until)}):
                tags, good = self._rows(run)
                learn(latest, tags, good, (run.offset - start + 1).astype(np.int32))
                yield None
            rest = (each for _, each in retained(consumer, {self.place: (max(start, self.progress.next), until)}))
            for run, is_last in _ends(part for each in rest for part in each.parts(MAX_RUN_RECORDS)):
                at = Progress(until if is_last else int(run.offset[-1]) + 1, until)
                yield run, Again(self.resync, self._is_latest(latest, run, start), at)

    def _is_latest(self, latest: RowTable, run: Run, start: int) -> np.ndarray:
        tags, good = self._rows(run)
        found = np.zeros(run.rows, bool)
        found[good] = latest.get(tags[good]) == run.offset[good] - start + 1
        if not (self.resync.again and self.resync.gives):
            # The live flow has withdrawn the rows of entities that were deleted, if the reader had a grant then. To
            # withdraw them again also takes those that came back: these have to be delivered again, too.
            found[tags[:, 1] == 0] = False
        return found

    def _rows(self, run: Run) -> tuple[np.ndarray, np.ndarray]:
        """The tags of the records' rows (uint64[n, 2]), and the indexes of the valid records."""
        examined = examine(run, self.subject)
        entities = self.tagger.entities(run.keys)
        tags = self.tagger.rows(names.subject_of(self.place[0]), examined.names.bodies, run.keys, entities)
        return tags, examined.good


def learn(latest: RowTable, tags: np.ndarray, good: np.ndarray, numbers: np.ndarray) -> None:
    """Remember a number (int32[n], above 0) for the row of each valid record (`good`), in order, and so its latest.

    The records that delete entities, whose tags (uint64[n, 2]) have no second half, forget the rows of these.
    """
    ends = good[tags[good, 1] == 0]
    for some, end in zip(np.split(good, np.searchsorted(good, ends)), [None, *ends.tolist()], strict=True):
        if end is not None:
            gone, _ = latest.of_entities(tags[end : end + 1, 0].copy())
            latest.put(gone, np.zeros(len(gone), np.int32))
        latest.put(tags[some], numbers[some])


def _ends(items: Iterable[T]) -> Iterator[tuple[T, bool]]:
    """Each item, and whether it is the last one."""
    before: list[T] = []
    for item in items:
        yield from ((one, False) for one in before)
        before = [item]
    yield from ((one, True) for one in before)
