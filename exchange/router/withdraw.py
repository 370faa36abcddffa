"""Takes rows back from the readers that hold them and are not to have them any more.

A withdrawal has no value. Its header names the row: by its key, or by the reader's handle if the reader does not get
the key in clear. Without that header it withdraws all rows of the entity that is its key.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from exchange import names
from exchange.ledger.entry import Outcome, Withdrawn
from exchange.records import build, hashes
from exchange.records.build import NO_HEADERS, Batch
from exchange.records.tags import Tagger
from exchange.records.values import Values
from exchange.router.choose import Checked, Choice, counted
from exchange.router.deliver import deliver, keys_of
from exchange.router.held import NOT, Moved
from exchange.router.ready import ReadyView


class _Loss(NamedTuple):
    """Grants of one view that lose the same rows, by the records that say so: `gone` (bool[n])."""

    grants: list[str]
    gone: np.ndarray


class _Given(NamedTuple):
    """m records as a reader gets them: the index of the source record of each, and which withdraw a row (bool[m]).

    `tags` (uint64[m, 2]) are those of the rows, if the reader knows rows by handles.
    """

    at: np.ndarray
    is_gone: np.ndarray
    tags: np.ndarray | None


def withdraw(checked: Checked, choice: Choice, moved: Moved, tagger: Tagger) -> Iterator[tuple[Outcome, list[Batch]]]:
    """As `deliver`, with the rows that readers lose; one outcome for all grants of the view that lose the same rows."""
    for grants, gone in _losses(choice, moved):
        if not gone.any():  # true of one of them at most
            outcome, batches = deliver(checked, choice, tagger)
            yield replace(outcome, grants=tuple(grants)), batches
            continue
        given = _given(checked, choice, moved, grants, gone)
        made, digest, size = _build(checked, choice, given, tagger)
        deleted = checked.tombstones
        parts = {"left": gone & ~deleted, "deleted": gone & deleted}
        withdrawn = tuple(
            Withdrawn(reason, *counted(which, len(checked.good)), int(which[given.at[given.is_gone]].sum()))
            for reason, which in parts.items()
            if which.any()
        )
        reasons = choice.reasons(len(checked.good), gone)
        yield Outcome(tuple(grants), len(choice.rows), size, digest, reasons, withdrawn), made


def _losses(choice: Choice, moved: Moved) -> Sequence[_Loss]:
    """The view's grants, by which rows they lose."""
    states = choice.states()
    held = np.flatnonzero((moved.numbers > 0) & (states == NOT))
    if not len(held) and not moved.ended:
        return [_Loss(list(choice.view.grants), np.zeros(len(moved.numbers), bool))]
    alike: dict[bytes, tuple[np.ndarray, list[str]]] = {}  # which sets have the reader, and the grants
    for grant, reader in zip(choice.view.grants, choice.view.readers, strict=True):
        holds = moved.held_by(reader)
        alike.setdefault(holds.tobytes(), (holds, []))[1].append(grant)
    losses: dict[bytes, _Loss] = {}
    for holds, grants in alike.values():
        gone = np.zeros(len(moved.numbers), bool)
        gone[held] = holds[moved.numbers[held]]
        for at, ended in moved.ended.items():
            gone[at] = states[at] == NOT and holds[ended.sets].any()
        losses.setdefault(gone.tobytes(), _Loss([], gone)).grants.extend(grants)
    return list(losses.values())


def _given(checked: Checked, choice: Choice, moved: Moved, grants: Sequence[str], gone: np.ndarray) -> _Given:
    """What readers get, in the order of the source records."""
    is_given = gone.copy()
    is_given[choice.rows] = True
    if checked.row_tags is None or not choice.view.handles_for:
        at = np.flatnonzero(is_given)
        return _Given(at, gone[at], None)
    is_given[list(moved.ended)] = False  # the reader gets the rows of an entity one by one
    every = np.flatnonzero(is_given)
    parts, tags = [every], [checked.row_tags[every]]
    holds = moved.held_by(choice.view.readers[choice.view.grants.index(grants[0])])
    for row, ended in moved.ended.items():
        theirs = ended.tags[holds[ended.sets]]
        parts.append(np.full(len(theirs) if gone[row] else 0, row, np.int64))
        tags.append(theirs[: len(parts[-1])])
    rows = np.concatenate(parts)
    order = np.argsort(rows, kind="stable")
    return _Given(rows[order], gone[rows][order], np.concatenate(tags)[order])


def _build(checked: Checked, choice: Choice, given: _Given, tagger: Tagger) -> tuple[list[Batch], bytes, int]:
    """The records as batches, their Merkle root, and the bytes of those delivered.

    A withdrawal's leaf has its headers in place of a value.
    """
    view, at = choice.view, given.at
    kept, lost = np.flatnonzero(~given.is_gone), np.flatnonzero(given.is_gone)
    keys = keys_of(checked, choice, at if given.tags is None else np.unique(at)).at(at)
    values = choice.values.at(at)
    values.length[lost] = -1
    if view.handles_for and given.tags is not None:
        sections = build.sections(checked.headers, names.ROW_HEADER, tagger.handles(view.handles_for, given.tags))
        told = sections.at(lost)
    else:
        sections = _sections(checked, view, at, lost)
        is_row = checked.examined.names.bodies.length[at[lost]] >= 0
        told = sections.at(lost)._replace(length=np.where(is_row, sections.length[lost], -1))
    leaves = np.empty((len(at), hashes.DIGEST_BYTES), np.uint8)
    leaves[kept] = checked.leaves[at[kept]] if view.is_whole else hashes.leaves(keys.at(kept), values.at(kept))
    leaves[lost] = hashes.leaves(keys.at(lost), told)
    size = int(keys.sizes[kept].sum() + values.sizes.sum())
    batches = build.join(keys, values, checked.run.timestamp[at], np.arange(len(at)), headers=sections)
    return batches, hashes.merkle_root(leaves), size


def _sections(checked: Checked, view: ReadyView, at: np.ndarray, lost: np.ndarray) -> Values:
    """The headers sections of records by their source: a record's own if it passes whole, the row's name if it is lost.

    `lost` says which of `at` (int64 indexes each).
    """
    run, row_names = checked.run, checked.examined.names.at(at[lost])
    is_row = row_names.length >= 0
    named = build.sections(checked.headers, names.ROW_HEADER, row_names.at(np.flatnonzero(is_row)))
    bare = Values.repeated(NO_HEADERS, len(at))
    own, start, length = bare
    if view.is_whole:
        own, start = run.values.buf, (run.values.start + run.values.sizes)[at]
        length = (run.tails.start + run.tails.length)[at] - start
    start[lost], length[lost] = len(own), len(NO_HEADERS)
    rows = lost[is_row]
    start[rows], length[rows] = len(own) + len(NO_HEADERS) + named.start, named.length
    buf = np.concatenate([own, bare.buf, named.buf])
    buf.flags.writeable = False
    return Values(buf, start, length)
