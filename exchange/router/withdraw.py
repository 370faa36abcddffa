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


class _Loss(NamedTuple):
    """Grants of one view that lose the same rows, by the records that say so: `gone` (bool[n])."""

    grants: list[str]
    gone: np.ndarray


class _Given(NamedTuple):
    """m records as a reader gets them: the index of the source record of each, and which withdraw a row (bool[m]).

    `tags` (uint64[m, 2]) are those of the rows.
    """

    at: np.ndarray
    is_gone: np.ndarray
    tags: np.ndarray


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
    losses: dict[bytes, _Loss] = {}
    for grant, reader in zip(choice.view.grants, choice.view.readers, strict=True):
        holds, gone = moved.held_by(reader), np.zeros(len(moved.numbers), bool)
        gone[held[holds[moved.numbers[held]]]] = True
        for at, ended in moved.ended.items():
            gone[at] = states[at] == NOT and holds[ended.sets].any()
        losses.setdefault(gone.tobytes(), _Loss([], gone)).grants.append(grant)
    return list(losses.values())


def _given(checked: Checked, choice: Choice, moved: Moved, grants: Sequence[str], gone: np.ndarray) -> _Given:
    """What readers get, in the order of the source records."""
    assert checked.row_tags is not None
    one_by_one = moved.ended if choice.view.handles_for else {}  # an entity's rows, if its key is not given
    is_given = gone.copy()
    is_given[choice.rows] = True
    is_given[list(one_by_one)] = False
    every = np.flatnonzero(is_given)
    at, tags = [every], [checked.row_tags[every]]
    holds = moved.held_by(choice.view.readers[choice.view.grants.index(grants[0])])
    for row, ended in one_by_one.items():
        theirs = ended.tags[holds[ended.sets]]
        at.append(np.full(len(theirs) if gone[row] else 0, row, np.int64))
        tags.append(theirs[: len(at[-1])])
    rows = np.concatenate(at)
    order = np.argsort(rows, kind="stable") if one_by_one else slice(None)
    return _Given(rows[order], gone[rows][order], np.concatenate(tags)[order])


def _build(checked: Checked, choice: Choice, given: _Given, tagger: Tagger) -> tuple[list[Batch], bytes, int]:
    """The records as batches, their Merkle root, and the bytes of those delivered.

    A withdrawal's leaf has its headers in place of a value.
    """
    run, view = checked.run, choice.view
    at, is_gone, tags = given
    sources = at[np.flatnonzero(np.diff(at, prepend=-1))]
    keys, values = keys_of(checked, choice, sources).at(at), choice.values.at(at)
    values = values._replace(length=np.where(is_gone, -1, values.length))
    kept, lost = np.flatnonzero(~is_gone), np.flatnonzero(is_gone)
    if view.handles_for:
        sections = build.sections(checked.headers, names.ROW_HEADER, tagger.handles(view.handles_for, tags))
        told = sections.at(lost)
    else:
        row_names = checked.examined.names.at(at[lost])
        is_row = row_names.length >= 0
        named = build.sections(checked.headers, names.ROW_HEADER, row_names.at(np.flatnonzero(is_row)))
        whole = Values.repeated(NO_HEADERS, 1)
        own = run.values.start + run.values.sizes
        ends = run.tails.start + run.tails.length
        of_kept = Values(run.values.buf, own[at[kept]], (ends - own)[at[kept]]) if view.is_whole else whole.at(kept * 0)
        sections = _mixed([of_kept, named, whole.at(lost[~is_row] * 0)], [kept, lost[is_row], lost[~is_row]])
        told = sections.at(lost)._replace(length=np.where(is_row, sections.length[lost], -1))
    leaves = np.empty((len(at), hashes.DIGEST_BYTES), np.uint8)
    leaves[kept] = checked.leaves[at[kept]] if view.is_whole else hashes.leaves(keys.at(kept), values.at(kept))
    leaves[lost] = hashes.leaves(keys.at(lost), told)
    every = np.arange(len(at), dtype=np.int64)
    size = int((keys.sizes + values.sizes)[kept].sum())
    return build.join(keys, values, run.timestamp[at], every, headers=sections), hashes.merkle_root(leaves), size


def _mixed(parts: Sequence[Values], places: Sequence[np.ndarray]) -> Values:
    """The rows of all parts, each at its place."""
    joined = Values.joined(parts)
    order = np.argsort(np.concatenate(places), kind="stable")
    return joined.at(order)
