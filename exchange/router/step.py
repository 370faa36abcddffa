"""One step of the router, pure: decides a run of source records for every grant in force.

For each grant, every record ends as exactly one of delivered, withheld, withdrawn or quarantined; the ledger entry in
the result says which, with its proof. There is no I/O and no clock here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from exchange import names
from exchange.ledger.entry import Entry, Quarantined, Span
from exchange.names import Partition
from exchange.records import hashes
from exchange.records.build import Batch
from exchange.records.scan import Run
from exchange.records.tags import Tagger
from exchange.router.choose import Again, Allow, Checked, choose, no_quotas
from exchange.router.deliver import deliver
from exchange.router.held import HeldRows, Rows
from exchange.router.quarantine import REASONS, examine, set_aside
from exchange.router.ready import ReadySubject
from exchange.router.withdraw import withdraw


@dataclass(frozen=True)
class RunSource:
    """Where a run of records comes from, and under what it is decided; `replay` is None in the live flow."""

    topic: str
    partition: int
    epoch: int
    router: str
    time_ms: int
    replay: str | None = None

    @property
    def headers(self) -> Mapping[str, bytes]:
        """Headers of each delivered record, beside its own: the mark of a replay."""
        return {names.REPLAY_HEADER: self.replay.encode()} if self.replay else MappingProxyType({})


@dataclass(frozen=True)
class Step:
    """What becomes of one run: a ledger entry, and batches for inboxes, quarantine and holdings.

    `subject` is the compiled subject by which it was decided.
    """

    entry: Entry
    outputs: Mapping[Partition, list[Batch]]
    subject: ReadySubject


def step(
    run: Run,
    subject: ReadySubject,
    source: RunSource,
    tagger: Tagger,
    allow: Allow = no_quotas,
    held: HeldRows | None = None,
    again: Again | None = None,
) -> Step:
    """Decide every record of `run` for every view of its subject.

    `allow` is called once for each view with a quota; the view gets that many of its records, the first ones. `held`
    are the rows that readers hold of the partition, if the subject has a key; they are moved on. `again`: what is
    decided makes true what a reader holds. No producer has stamped the batches yet. A replay puts nothing into
    quarantine, because the live flow did.
    """
    examined = examine(run, subject)
    leaves = hashes.leaves(run.keys, run.values)
    tags = tagger.entities(run.keys)
    row_tags = (
        tagger.rows(names.subject_of(source.topic), examined.names.bodies, run.keys, tags) if subject.namers else None
    )
    checked = Checked(run, examined, row_tags, leaves, hashes.merkle_root(leaves), source.headers)
    if again and held is not None and row_tags is not None:
        [reader] = {reader for view in subject.views for reader in view.readers}
        checked = replace(checked, again=again, held=held.holds(row_tags, reader))
    choices = [choose(checked, view, allow) for view in subject.views]
    outputs = defaultdict[Partition, list[Batch]](list)
    if held is None or row_tags is None:
        made = [deliver(checked, choice, tagger) for choice in choices]
    else:
        moved = held.advance(
            Rows(row_tags, checked.good, checked.ends), {choice.view.readers: choice.states() for choice in choices}
        )
        made = [part for choice in choices for part in withdraw(checked, choice, moved, tagger)]
        if batches := held.written(moved, source.time_ms, {again.resync.id: again.progress} if again else {}):
            outputs[names.holdings_topic(names.subject_of(source.topic)), source.partition] = batches
    topics = {grant: topic for view in subject.views for grant, topic in zip(view.grants, view.topics, strict=True)}
    for outcome, batches in made:
        for topic in {topics[grant] for grant in outcome.grants} if batches else ():
            outputs[topic, source.partition] += [batch.twin() for batch in batches]
    bad = np.flatnonzero(examined.status)
    if len(bad) and not source.replay:
        quarantine = names.quarantine_topic(names.subject_of(source.topic))
        outputs[quarantine, source.partition] += set_aside(run, examined.status, bad, (source.topic, source.partition))
    codes = examined.status[bad].tolist()
    entry = Entry(
        epoch=source.epoch,
        router=source.router,
        time_ms=source.time_ms,
        topic=source.topic,
        partition=source.partition,
        runs=_spans(run.offset),
        count=run.rows,
        root=checked.root,
        tags=tags.tobytes(),
        outcomes=tuple(outcome for outcome, _ in made),
        quarantined=tuple(
            Quarantined(i, offset, REASONS[code])
            for i, offset, code in zip(bad.tolist(), run.offset[bad].tolist(), codes, strict=True)
        ),
        replay=source.replay,
        row_tags=b"" if row_tags is None else row_tags.astype("<u8").tobytes(),
    )
    return Step(entry, dict(outputs), subject)


def _spans(offset: np.ndarray) -> tuple[Span, ...]:
    """Ascending offsets as spans (first, count) of consecutive ones."""
    breaks = np.flatnonzero(np.diff(offset) != 1) + 1
    starts = np.concatenate(([0], breaks))
    counts = np.diff(np.concatenate((starts, [len(offset)])))
    return tuple(Span(first, count) for first, count in zip(offset[starts].tolist(), counts.tolist(), strict=True))
