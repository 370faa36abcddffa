"""W4's rows are published once and then changed, and half of the changes flip a filter."""

from __future__ import annotations

import numpy as np
import pytest

from exchange.schema import wire
from tests.bench import workload
from tests.bench.changes import VERSIONS, History
from tests.bench.workload import ENTITY, IN_CLEAR, Loaded, Source, Task

RECORDS = 20_000
DISTINCT = workload.distinct_records(200)
FILTERS = [view.all_takes(DISTINCT) for view in IN_CLEAR]
HISTORY = History.of(RECORDS, FILTERS)
TASK = Task("W4", Loaded(Source(changes=True), RECORDS, DISTINCT, HISTORY), IN_CLEAR, (ENTITY,))


def test_every_row_is_published_once_before_it_is_changed() -> None:
    _, first = np.unique(HISTORY.rows, return_index=True)
    assert first.tolist() == list(range(0, RECORDS, VERSIONS))


def test_half_of_the_changes_flip_a_filter() -> None:
    flips = [np.not_equal(*HISTORY.changes(takes)) for takes in FILTERS]
    assert [flip.mean() for flip in flips] == pytest.approx([0.25, 0.25], abs=0.02)
    assert np.logical_or(*flips).mean() == pytest.approx(0.5, abs=0.02)


def test_half_of_the_records_pass_a_filter() -> None:
    assert [HISTORY.passing(takes) / RECORDS for takes in FILTERS] == pytest.approx([0.5, 0.5], abs=0.02)


def test_a_version_is_a_distinct_record_of_its_own_row() -> None:
    _, values = workload.encoded(DISTINCT)
    keys, made = HISTORY.versions(slice(0, 50), values)
    assert len(set(keys)) == 10
    records = [DISTINCT[number] | {ENTITY: key.decode()} for number, key in zip(HISTORY.says[:50], keys, strict=True)]
    assert made == workload.encoded(records)[1]
    assert {wire.unpack(value)[0] for value in made} == {workload.SCHEMA_ID}


def test_readers_of_a_subject_with_a_key_are_expected_to_get_withdrawals() -> None:
    state: dict[tuple[int, int], bool] = {}
    got = [0, 0]
    for row, number in zip(HISTORY.rows.tolist(), HISTORY.says.tolist(), strict=True):
        for i, view in enumerate(IN_CLEAR):
            passes = view.takes(DISTINCT[number])
            got[i] += passes or state.get((row, i), False)
            state[row, i] = passes
    assert list(TASK.expected.values()) == [got[0]] * 3 + [got[1]] * 3
