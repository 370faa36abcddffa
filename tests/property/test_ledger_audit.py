"""Entries made from any fate of any record balance, and the audit's answers equal plain counting of those fates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.audit.disclosures import disclosures
from exchange.audit.questions import Selection, balance_of_grants, balance_of_partitions, exchanged
from exchange.ledger.body import EntryError, decode, encode, validate_entry
from exchange.ledger.entry import Entry, Outcome, Quarantined, Span, Withdrawn, Withheld, delivered_mask, tag
from exchange.ledger.intake import Intake, Placed, State
from exchange.ledger.store import LedgerStore
from tests.rigs.ledgers import KEY, TIME_MS, one_epoch

GRANTS = ("dept.readera", "dept.readerb")
PEOPLE = (None, b"ann", b"bob", b"cai")
WITHHELD, WITHDRAWN = ("filter", "tombstone"), ("left", "deleted")
FATES = ("delivered", *WITHHELD, *WITHDRAWN)


@dataclass(frozen=True)
class Fate:
    """What became of one record: quarantined, or one fate per grant."""

    person: bytes | None
    quarantined: bool
    fates: tuple[str, str]
    gap: bool


@dataclass(frozen=True)
class Made:
    """The fates of one entry's records and the end of its transaction."""

    fates: tuple[Fate, ...]
    state: State
    shared: bool


FATE = st.builds(
    Fate,
    st.sampled_from(PEOPLE),
    st.booleans(),
    st.tuples(st.sampled_from(FATES), st.sampled_from(FATES)),
    st.booleans(),
)
MADE = st.builds(
    Made,
    st.lists(FATE, min_size=1, max_size=20).map(tuple),
    st.sampled_from(("open", "committed", "aborted")),
    st.booleans(),
)


def settled(made: Made) -> Made:
    """With `shared`, both grants are one view: the second has the first one's fates."""
    if not made.shared:
        return made
    return replace(made, fates=tuple(replace(f, fates=(f.fates[0], f.fates[0])) for f in made.fates))


def entry_of(made: Made, first: int) -> Entry:
    offsets, at = [], first
    for fate in made.fates:
        at += 2 if fate.gap else 1
        offsets.append(at)
    views = [GRANTS] if made.shared else [GRANTS[:1], GRANTS[1:]]
    return Entry(
        epoch=1,
        router="r",
        time_ms=TIME_MS,
        topic="subject.dept.income",
        partition=0,
        runs=tuple(runs_of(offsets)),
        count=len(offsets),
        root=bytes(32),
        tags=b"".join(tag(fate.person, KEY) for fate in made.fates),
        outcomes=tuple(outcome_of(made, view, at) for at, view in enumerate(views)),
        quarantined=tuple(
            Quarantined(at, offsets[at], "schema-id") for at, fate in enumerate(made.fates) if fate.quarantined
        ),
        row_tags=bytes(16 * len(offsets)),
    )


def runs_of(offsets: Sequence[int]) -> list[Span]:
    runs: list[Span] = []
    for offset in offsets:
        if runs and runs[-1].first + runs[-1].count == offset:
            runs[-1] = Span(runs[-1].first, runs[-1].count + 1)
        else:
            runs.append(Span(offset, 1))
    return runs


def outcome_of(made: Made, grants: tuple[str, ...], view: int) -> Outcome:
    good = [at for at, fate in enumerate(made.fates) if not fate.quarantined]

    def parts(reasons: Sequence[str]) -> Iterator[tuple[str, int, bytes | None]]:
        for reason in reasons:
            rows = [at for at in good if made.fates[at].fates[view] == reason]
            if rows:
                bitmap = sum(1 << at for at in rows).to_bytes((len(made.fates) + 7) // 8, "little")
                yield reason, len(rows), None if rows == good else bitmap

    delivered = sum(made.fates[at].fates[view] == "delivered" for at in good)
    withheld = tuple(Withheld(*part) for part in parts(WITHHELD))
    withdrawn = tuple(Withdrawn(*part, records=2 * part[1]) for part in parts(WITHDRAWN))
    return Outcome(grants, delivered, 10 * delivered, bytes(32), withheld, withdrawn)


@given(MADE.map(settled))
def test_any_fates_make_an_entry_that_balances(made: Made) -> None:
    entry = entry_of(made, 0)
    validate_entry(entry)
    assert decode(encode(entry)) == entry
    for view, outcome in enumerate(entry.outcomes):
        assert delivered_mask(entry, outcome).tolist() == [
            not fate.quarantined and fate.fates[view] == "delivered" for fate in made.fates
        ]
        with pytest.raises(EntryError):
            validate_entry(replace(entry, outcomes=(replace(outcome, delivered=outcome.delivered + 1),)))


@settings(max_examples=50)  # each makes a database
@given(st.lists(MADE.map(settled), max_size=4))
def test_the_audit_counts_what_was_committed(all_made: list[Made]) -> None:
    store = LedgerStore("sqlite://")
    intake = Intake(epochs=[one_epoch(1, "dept")])
    for at, made in enumerate(all_made):
        entry = entry_of(made, 100 * at)
        intake.entries.append(Placed(0, at, 7, b"", encode(entry), entry, made.state))
    store.apply(intake)
    counted = [made for made in all_made if made.state == "committed"]
    fates = [fate for made in counted for fate in made.fates]
    for view, grant in enumerate(GRANTS):
        good = Counter(fate.fates[view] for fate in fates if not fate.quarantined)
        bad = sum(fate.quarantined for fate in fates)
        found = exchanged(store, Selection(grant=grant))
        balance = balance_of_grants(store, Selection(grant=grant))
        if not fates:
            assert not found
            assert not balance
            continue
        assert (found[0].records, found[0].delivered, found[0].quarantined) == (len(fates), good["delivered"], bad)
        assert found[0].withheld == {reason: good[reason] for reason in WITHHELD if good[reason]}
        assert found[0].withdrawn == {reason: good[reason] for reason in WITHDRAWN if good[reason]}
        assert balance[0].balanced
        assert (balance[0].delivered, balance[0].withdrawn) == (good["delivered"], good["left"] + good["deleted"])
    assert all(p.balanced for p in balance_of_partitions(store, Selection()))
    for person in PEOPLE[1:]:
        for view, grant in enumerate(GRANTS):
            for states, aborted in ((("committed",), False), (("open", "committed", "aborted"), True)):
                rows = list(disclosures(store, tag(person, KEY), Selection(grant=grant), include_aborted=aborted))
                expected = Counter(
                    fate.fates[view]
                    for made in all_made
                    if made.state in states
                    for fate in made.fates
                    if fate.person == person and not fate.quarantined
                )
                for noticed in ("delivered", *WITHDRAWN):
                    of = [row.records for row in rows if noticed in (row.verdict, row.reason)]
                    assert sum(of) == expected[noticed]
    store.close()


@settings(max_examples=25)  # each makes a database
@given(st.lists(MADE.map(settled), max_size=3), st.lists(MADE.map(settled), min_size=1, max_size=3))
def test_a_replay_is_counted_apart(live: list[Made], again: list[Made]) -> None:
    store = LedgerStore("sqlite://")
    intake = Intake(epochs=[one_epoch(1, "dept")])
    for at, (made, replay) in enumerate([*((m, None) for m in live), *((m, "r-1") for m in again)]):
        entry = entry_of(made, 100 * (at if replay is None else at - len(live)))
        if replay:
            outcome = next(o for o in entry.outcomes if GRANTS[0] in o.grants)
            entry = replace(entry, replay=replay, outcomes=(replace(outcome, grants=GRANTS[:1]),))
        validate_entry(entry)
        intake.entries.append(Placed(0, at, 7, b"", encode(entry), entry, "committed"))
    store.apply(intake)
    counted = {None: live, "r-1": again}
    for replay in (None, "r-1"):
        fates = [fate for made in counted[replay] for fate in made.fates]
        got = sum(not fate.quarantined and fate.fates[0] == "delivered" for fate in fates)
        of = [(e.records, e.delivered) for e in exchanged(store, Selection(grant=GRANTS[0])) if e.replay == replay]
        assert of == ([(len(fates), got)] if fates else [])
        ann = disclosures(store, tag(b"ann", KEY), Selection(grant=GRANTS[0]))
        assert sum(row.records for row in ann if (row.replay, row.verdict) == (replay, "delivered")) == sum(
            fate.person == b"ann" and not fate.quarantined and fate.fates[0] == "delivered" for fate in fates
        )
    balances = balance_of_grants(store, Selection())
    assert all(balance.balanced for balance in balances)
    assert {b.grant for b in balances if b.replay} == {GRANTS[0]}
    [partition] = balance_of_partitions(store, Selection())
    assert partition.balanced
    assert partition.records == sum(len(made.fates) for made in live)
    assert partition.replayed == sum(len(made.fates) for made in again)
    store.close()
