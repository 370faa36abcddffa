"""The memory of rows in itself: what it writes can be loaded again, as fast in any case."""

from __future__ import annotations

import numpy as np

from exchange.records.header import RawBatch, parse
from exchange.records.scan import Run, scan
from exchange.router.held import PASS, HeldRows, Rows

ROWS = 10_000
KEY_ID = b"12345678"
NONE = np.empty(0, np.int64)


def remembered(tags: np.ndarray) -> HeldRows:
    """The rows, which one grant holds, to be written anew."""
    held = HeldRows(KEY_ID)
    held.advance(Rows(tags, np.arange(ROWS), NONE), {("one",): np.full(ROWS, PASS, np.uint8)})
    held.rewrite()
    return held


def written(held: HeldRows) -> Run:
    """What the next step writes, which changes nothing."""
    batches = held.written(held.advance(Rows(np.empty((0, 2), np.uint64), NONE, NONE), {}), 0)
    return scan([RawBatch("", 0, parse(batch.head), memoryview(batch.data), 0) for batch in batches])


def random_tags() -> np.ndarray:
    return np.random.default_rng(12).integers(1, (1 << 64) - 1, (ROWS, 2), np.uint64)


def row_tags(run: Run) -> np.ndarray:
    keys = [key or b"" for key in run.keys.tolist()]
    return np.frombuffer(b"".join(key for key in keys if len(key) == 16), "<u8").reshape(-1, 2)


def test_rows_written_anew_are_loaded_again() -> None:
    tags, loaded = random_tags(), HeldRows(KEY_ID)
    loaded.load(written(remembered(tags)))
    assert loaded.rows == ROWS
    assert loaded.holds(tags, "one").all()


def test_rows_written_anew_come_in_another_order_than_the_tables() -> None:
    """In that order, they would all crowd in one part of a table that is still growing: hours for millions."""
    places = row_tags(written(remembered(random_tags())))[: ROWS // 10, 1] / 2.0**64
    assert np.histogram(places, 10, (0, 1))[0].min() > ROWS // 200


def test_grants_that_have_nothing_to_do_with_each_other_make_as_many_sets_as_rows() -> None:
    rng, tags, held = np.random.default_rng(1), random_tags(), HeldRows(KEY_ID)
    for _ in range(2):  # the second time, rows move from a set of their own to another
        states = {(f"grant {i}",): rng.integers(0, 2, ROWS).astype(np.uint8) for i in range(30)}
        held.advance(Rows(tags, np.arange(ROWS), NONE), states)
    for (grant,), state in states.items():
        assert (held.holds(tags, grant) == (state == PASS)).all()
