"""A sink's changes in few runs: what comes of them is what comes of the changes one by one."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from exchange.connect.row_change import RecordOrigin, RowChange, runs

Table = dict[tuple[str, int], int]


def _change(at: int, kind: str, entity: str, row: int, replay: str | None) -> RowChange:
    origin = RecordOrigin(0, at, 0, replay)
    if kind == "comes":
        return RowChange({"entity": entity, "row": row, "at": at}, origin)
    named: dict[str, Any] = {"entity": entity} if kind == "entity" else {"entity": entity, "row": row}
    return RowChange(named, origin, is_gone=True)


CHANGES = st.lists(
    st.builds(
        _change,
        at=st.integers(0, 9),
        kind=st.sampled_from(["comes", "comes", "goes", "entity"]),
        entity=st.sampled_from("abc"),
        row=st.integers(0, 2),
        replay=st.sampled_from([None, None, "r-1"]),
    ),
    max_size=60,
)


def _done(table: Table, change: RowChange) -> None:
    entity, row = change.row["entity"], change.row.get("row")
    if not change.is_gone:
        table[entity, change.row["row"]] = change.row["at"]
    else:
        for place in [place for place in table if place[0] == entity and row in (None, place[1])]:
            del table[place]


@given(CHANGES)
def test_runs_end_as_the_changes_one_by_one(changes: list[RowChange]) -> None:
    in_order: Table = {}
    for change in changes:
        _done(in_order, change)
    found = runs(changes, "entity")
    in_runs: Table = {}
    for run in found:
        assert len({(each.origin.replay, each.is_gone, tuple(each.row)) for each in run}) == 1
        for change in run:
            _done(in_runs, change)
    assert in_runs == in_order
    assert sorted(map(id, changes)) == sorted(id(change) for run in found for change in run)


@given(CHANGES)
def test_without_a_column_all_stays_in_order(changes: list[RowChange]) -> None:
    assert [id(change) for run in runs(changes, None) for change in run] == [id(change) for change in changes]


def test_rows_of_many_entities_that_come_and_go_are_few_runs() -> None:
    flow = [_change(0, kind, str(i), 0, None) for i in range(1_000) for kind in ("comes", "goes", "comes")]
    assert [len(run) for run in runs(flow, "entity")] == [1_000, 1_000, 1_000]
