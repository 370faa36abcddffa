"""One step of the router, pure: decides a run of source records for every grant in force.

For each grant, every record ends as exactly one of delivered, withheld or quarantined; the ledger entry in the result
says which, with its proof. There is no I/O and no clock here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from exchange import names
from exchange.contract.model import Quota
from exchange.ledger.entry import Entry, Outcome, Quarantined, Span, Withheld
from exchange.names import Partition
from exchange.records import build, hashes
from exchange.records.build import NO_HEADERS, Batch
from exchange.records.locate import LocatedRows
from exchange.records.mask import pseudonyms
from exchange.records.scan import Run
from exchange.records.values import Values
from exchange.router.quarantine import REASONS, examine, set_aside
from exchange.router.ready import ReadySubject, ReadyView


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
    def headers(self) -> bytes:
        """Headers to append to those of each delivered record: the mark of a replay."""
        return build.encode_headers({names.REPLAY_HEADER: self.replay.encode()}) if self.replay else NO_HEADERS


@dataclass(frozen=True)
class Step:
    """What becomes of one run: a ledger entry, and batches for inboxes and quarantine.

    `subject` is the compiled subject by which it was decided.
    """

    entry: Entry
    outputs: Mapping[Partition, list[Batch]]
    subject: ReadySubject


Allow = Callable[[str, Quota, int], int]
"""How many of so many records may be delivered under a grant and its quota."""


def no_quotas(_grant: str, _quota: Quota, records: int) -> int:
    """Allow all of them."""
    return records


def step(run: Run, subject: ReadySubject, source: RunSource, tag_state: np.ndarray, allow: Allow = no_quotas) -> Step:
    """Decide every record of `run` for every view of its subject.

    `tag_state` is `hashes.tag_state(ledger_key)`. `allow` is called once for each view with a quota; the view gets that
    many of its records, the first ones. No producer has stamped the batches yet. A replay puts nothing into
    quarantine, because the live flow did.
    """
    status, ids, located = examine(run, subject)
    leaves = hashes.leaves(run.keys, run.values)
    tags = hashes.tags(run.keys, tag_state)
    root = hashes.merkle_root(leaves)
    checked = _Checked(run, ids, located, np.flatnonzero(status == 0), leaves, root)
    outcomes, outputs = [], defaultdict[Partition, list[Batch]](list)
    for view in subject.views:
        outcome, batches = _decide(checked, view, source.headers, allow)
        outcomes.append(outcome)
        for topic in view.topics if batches else ():
            outputs[topic, source.partition] += [batch.twin() for batch in batches]
    bad = np.flatnonzero(status)
    if len(bad) and not source.replay:
        quarantine = names.quarantine_topic(names.subject_of(source.topic))
        outputs[quarantine, source.partition] += set_aside(run, status, bad, (source.topic, source.partition))
    entry = Entry(
        epoch=source.epoch,
        router=source.router,
        time_ms=source.time_ms,
        topic=source.topic,
        partition=source.partition,
        runs=_spans(run.offset),
        count=run.rows,
        root=root,
        tags=tags.tobytes(),
        outcomes=tuple(outcomes),
        quarantined=tuple(
            Quarantined(i, offset, REASONS[code])
            for i, offset, code in zip(bad.tolist(), run.offset[bad].tolist(), status[bad].tolist(), strict=True)
        ),
        replay=source.replay,
    )
    return Step(entry, dict(outputs), subject)


class _Checked(NamedTuple):
    """A run of n records with all that views need: schema ids (int64[n]), positions of fields, and the valid records.

    `good`: int64 indexes of the valid records. `leaves` (uint8[n, 32]) and their `root` form the Merkle tree.
    """

    run: Run
    ids: np.ndarray
    located: Mapping[int, LocatedRows]
    good: np.ndarray
    leaves: np.ndarray
    root: bytes


def _decide(checked: _Checked, view: ReadyView, headers: bytes, allow: Allow) -> tuple[Outcome, list[Batch]]:
    """What the view's grants get of the valid records, and the batches for them.

    `headers` are appended to each delivered record's own.
    """
    run, keys, values = checked.run, checked.run.keys, checked.run.values
    keep = np.zeros(run.rows, bool)
    keep[checked.good] = True
    withheld: dict[str, np.ndarray] = {}
    tombstones = keep & (values.length < 0)
    if not view.takes_tombstones and tombstones.any():
        withheld["tombstone"] = tombstones
    if not view.is_whole or view.is_filtered:
        asked = keep & ~tombstones  # nothing of a tombstone can be filtered or projected
        made = view.kernels.evaluate(run.values, checked.ids, np.flatnonzero(asked), checked.located)
        values = made.values
        withheld["unevaluable"] = made.unevaluable
        withheld["filter"] = asked & ~made.keep & ~made.unevaluable
    for rows in withheld.values():
        keep &= ~rows
    rows = np.flatnonzero(keep)
    if view.quota.is_limited and len(rows):
        rows, excess = np.split(rows, [allow(view.grants[0], view.quota, len(rows))])
        withheld["quota"] = np.zeros(run.rows, bool)
        withheld["quota"][excess] = True
    if not view.keeps_key:
        made_up = view.key_of_pseudonyms
        keys = pseudonyms(made_up, keys, rows) if made_up else Values.nulls(run.rows)
    if view.is_whole:
        is_live = headers == NO_HEADERS
        batches = build.copy(run, rows) if is_live else build.copy_with(run, rows, headers)
        digest = checked.root if len(rows) == run.rows else hashes.merkle_root(checked.leaves[rows])
    else:
        batches = build.join(keys, values, run.timestamp, rows, headers=headers)
        digest = hashes.merkle_root(hashes.leaves(keys.at(rows), values.at(rows)))
    size = int((keys.sizes + values.sizes)[rows].sum())
    reasons = tuple(_withheld(reason, which, len(checked.good)) for reason, which in withheld.items() if which.any())
    return Outcome(view.grants, len(rows), size, digest, reasons), batches


def _withheld(reason: str, which: np.ndarray, good: int) -> Withheld:
    count = int(which.sum())
    bitmap = None if count == good else np.packbits(which, bitorder="little").tobytes()
    return Withheld(reason, count, bitmap)


def _spans(offset: np.ndarray) -> tuple[Span, ...]:
    """Ascending offsets as spans (first, count) of consecutive ones."""
    breaks = np.flatnonzero(np.diff(offset) != 1) + 1
    starts = np.concatenate(([0], breaks))
    counts = np.diff(np.concatenate((starts, [len(offset)])))
    return tuple(Span(first, count) for first, count in zip(offset[starts].tolist(), counts.tolist(), strict=True))
