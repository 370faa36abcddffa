"""What `exchange ledger verify` computes of who holds which rows: no faults in any history, and lies are found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange import names
from exchange.audit.proofs import Verification
from exchange.contract.key import name_schema
from exchange.ledger.body import validate_entry
from exchange.ledger.entry import Entry, Withheld
from exchange.records.tags import Tagger
from exchange.router.held import HeldRows
from tests.rigs.proven import Ledgered
from tests.rigs.routing import KEY, NEW, OLD, SCHEMAS, SUBJECT, Written, batch, epoch, grant, route, value, wire

ROW_KEY = ("id", "year")
WHERE = {"cents": {"ge": 0}}
UNDER = epoch(
    grant("whole"),
    grant("filtered", where=WHERE),
    grant("cut", fields=("id", "year", "district"), where=WHERE),
    grant("hidden", fields=("id", "year", "cents"), masks={"id": "pseudonym"}, where=WHERE),
    grant("no-id", fields=("year", "cents"), where={"district": {"prefix": "44"}}),
    key=ROW_KEY,
)
Change = tuple[str, str, int, int, str | None]

CHANGES = st.tuples(
    st.sampled_from(["put", "put", "put", "delete", "end", "bad"]),
    st.sampled_from(["p", "q", "r"]),
    st.integers(2020, 2022),
    st.integers(-2, 2),
    st.sampled_from([None, "4401", "33"]),
)


def record(change: Change) -> Written:
    kind, person, year, cents, district = change
    key = person.encode()
    if kind == "delete":
        name = wire(NEW, {"id": person, "year": year}, name_schema(SCHEMAS[NEW], ROW_KEY))
        return 0, key, None, [(names.ROW_HEADER, name)]
    if kind == "end":
        return 0, key, None, []
    writer = OLD if cents % 2 else NEW
    body = value(writer, id=person, year=year, cents=cents, district=district)
    return 0, key, body[:-3] if kind == "bad" else body, [("own", b"header")]


def history(runs: list[list[Change]], *, forgets: bool = False) -> Ledgered:
    """What a router makes of these changes, run by run; one that `forgets` has no memory of the run before."""
    made, held, offset = Ledgered([UNDER]), HeldRows(Tagger(KEY).key_id), 0
    for changes in runs:
        held = HeldRows(Tagger(KEY).key_id) if forgets else held
        source = batch([record(change) for change in changes], base_offset=offset)
        made.commit(source, route(UNDER, [source], held=held))
        offset += len(changes)
    return made


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(CHANGES, min_size=1, max_size=10), min_size=1, max_size=6))
def test_no_history_has_faults(runs: list[list[Change]]) -> None:
    assert history(runs).verify() == []


def put(person: str, year: int, cents: int) -> Change:
    return "put", person, year, cents, "4401"


def lived() -> Ledgered:
    """Two persons with three rows; one row leaves, one is deleted, one entity is deleted, and one row stays."""
    ends: list[Change] = [("end", "q", 2020, 0, None), put("p", 2021, 5)]
    return history(
        [
            [put("p", 2020, 1), put("p", 2021, 2), put("q", 2020, 3), put("q", 2021, 4), put("r", 2020, -1)],
            [put("p", 2020, -1), ("delete", "r", 2020, 0, None)],
            ends,
        ]
    )


def test_rows_are_held_by_those_that_got_them_and_did_not_lose_them() -> None:
    made, found = lived(), Verification()
    held = {holders for _, holders in made.holdings(found)}
    assert held == {frozenset({"whole", "no-id"}), frozenset({"whole", "filtered", "cut", "hidden", "no-id"})}
    assert made.verify() == []


def changed(made: Ledgered, at: int, entry: Entry) -> Ledgered:
    validate_entry(entry)
    made.entries[at] = entry
    return made


def without_withdrawal(made: Ledgered) -> Ledgered:
    """An entry that withholds what it has to withdraw."""
    entry = made.entries[1]
    outcomes = []
    for outcome in entry.outcomes:
        left = tuple(Withheld("filter", w.count, w.bitmap) for w in outcome.withdrawn if w.reason == "left")
        others = tuple(w for w in outcome.withdrawn if w.reason != "left")
        outcomes.append(replace(outcome, withheld=(*outcome.withheld, *left), withdrawn=others))
    return changed(made, 1, replace(entry, outcomes=tuple(outcomes)))


def twice_withdrawn(made: Ledgered) -> Ledgered:
    """The entry in which a row left comes twice."""
    made.entries.insert(2, made.entries[1])
    made.sources.insert(2, made.sources[1])
    return made


def other_row(made: Ledgered) -> Ledgered:
    """An entry that names another row than its record."""
    entry = made.entries[1]
    return changed(made, 1, replace(entry, row_tags=bytes(16) + entry.row_tags[16:]))


def inbox(reader: str) -> str:
    return names.inbox_topic(reader, SUBJECT)


@pytest.mark.parametrize(
    ("lie", "faults"),
    [
        (without_withdrawal, ["are withheld from readers that hold their rows", "rows have other holders there"]),
        (twice_withdrawn, ["records withdraw rows from readers that did not hold them"]),
        (other_row, ["the row tags are not those", "withdraw rows from readers that did not", "other holders there"]),
    ],
)
def test_an_entry_that_lies_about_rows_is_found(lie: Callable[[Ledgered], Ledgered], faults: list[str]) -> None:
    found = lie(lived()).verify()
    for fault in faults:
        assert any(fault in one for one in found), found


@pytest.mark.parametrize("reader", ["filtered", "cut", "hidden", "no-id"])
def test_an_inbox_that_lacks_a_withdrawal_is_found(reader: str) -> None:
    made = lived()
    there = made.topics[inbox(reader), 1]
    at = next(at for at, one in enumerate(there) if one.value is None)
    del there[at]
    found = made.verify()
    assert f"{inbox(reader)}/1: 1 rows live on that it should not hold" in found
    assert any("does not hold what was delivered" in one for one in found)


@pytest.mark.parametrize("reader", ["filtered", "cut", "hidden", "no-id"])
def test_an_inbox_that_lacks_a_row_is_found(reader: str) -> None:
    made = history([[put("p", 2020, 1), put("q", 2020, 2)]])
    del made.topics[inbox(reader), 1][-1]
    assert f"{inbox(reader)}/1: 1 rows are missing that it should hold" in made.verify()


@pytest.mark.parametrize("reader", ["filtered", "cut", "hidden", "no-id"])
def test_a_withdrawal_of_a_row_that_a_reader_never_had_is_found(reader: str) -> None:
    made = lived()
    there = made.topics[inbox(reader), 1]
    gone = next(one for one in there if one.value is None)
    there.insert(0, gone)
    assert f"{inbox(reader)}/1: 1 withdrawals are of rows that it did not have" in made.verify()


def test_a_router_without_a_memory_is_found() -> None:
    found = history([[put("p", 2020, 1)], [put("p", 2020, -1)]], forgets=True).verify()
    assert any("withheld from readers that hold their rows" in one for one in found)


def test_what_the_holdings_topic_lacks_is_found() -> None:
    made = lived()
    kept = made.topics[names.holdings_topic(SUBJECT), 1]
    at = next(at for at, one in enumerate(kept) if len(one.key or b"") == 16)
    kept.append(kept[at]._replace(value=None))
    assert made.verify() == ["holdings: 1 rows have other holders there than in the entries"]


def test_entries_without_row_tags_are_verified_as_before() -> None:
    under = epoch(grant("whole"), grant("filtered", where=WHERE))
    made = Ledgered([under])
    source = batch([record(put("p", 2020, 1)), record(put("q", 2020, -1)), (0, b"p", None, [(names.ROW_HEADER, b"x")])])
    made.commit(source, route(under, [source]))
    assert made.entries[0].row_tags == b""
    assert made.verify() == []


def test_a_reader_loses_under_a_new_grant_what_it_got_under_an_old_one() -> None:
    first = epoch(grant("old", reader="bank"), number=7, key=ROW_KEY)
    second = epoch(grant("new", reader="bank", where=WHERE), number=8, key=ROW_KEY)
    made, held = Ledgered([first, second]), HeldRows(Tagger(KEY).key_id)
    runs = [
        (first, put("p", 2020, 1)),
        (first, put("q", 2020, 1)),
        (second, put("p", 2020, 2)),
        (second, put("p", 2020, -1)),
    ]
    for offset, (under, change) in enumerate(runs):
        source = batch([record(change)], base_offset=offset)
        made.commit(source, route(under, [source], held=held))
    assert [len(o.withdrawn) for entry in made.entries for o in entry.outcomes] == [0, 0, 0, 1]
    assert made.verify() == []
