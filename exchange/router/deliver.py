"""Builds what a view's readers get of the records that pass it."""

from __future__ import annotations

import numpy as np

from exchange import names
from exchange.ledger.entry import Outcome
from exchange.records import build, hashes
from exchange.records.build import Batch
from exchange.records.mask import pseudonyms
from exchange.records.tags import Tagger
from exchange.records.values import Values
from exchange.router.choose import Checked, Choice


def deliver(checked: Checked, choice: Choice, tagger: Tagger) -> tuple[Outcome, list[Batch]]:
    """The outcome of a view's grants, and the batches for each of their readers."""
    run, rows, view = checked.run, choice.rows, choice.view
    keys = keys_of(checked, choice, rows)
    if view.is_whole:
        headers = build.encode_headers(checked.headers) if checked.headers else None
        batches = build.copy_with(run, rows, headers) if headers else build.copy(run, rows)
        digest = checked.root if len(rows) == run.rows else hashes.merkle_root(checked.leaves[rows])
    else:
        if view.handles_for and checked.row_tags is not None:
            handles = tagger.handles(view.handles_for, checked.row_tags[rows])
            sections = build.sections(checked.headers, names.ROW_HEADER, handles)
        else:
            sections = Values.repeated(build.encode_headers(checked.headers), len(rows))
        every = np.arange(len(rows), dtype=np.int64)
        batches = build.join(keys.at(rows), choice.values.at(rows), run.timestamp[rows], every, headers=sections)
        digest = hashes.merkle_root(hashes.leaves(keys.at(rows), choice.values.at(rows)))
    size = int((keys.sizes + choice.values.sizes)[rows].sum())
    return Outcome(view.grants, len(rows), size, digest, choice.reasons(len(checked.good))), batches


def keys_of(checked: Checked, choice: Choice, rows: np.ndarray) -> Values:
    """The keys under which the view's readers get these records (int64 indexes), by record of the run."""
    view, keys = choice.view, checked.run.keys
    if view.keeps_key:
        return keys
    return pseudonyms(view.key_of_pseudonyms, keys, rows) if view.key_of_pseudonyms else Values.nulls(keys.rows)
