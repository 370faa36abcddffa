"""On SQLite and PostgreSQL: an intake is brought in as a whole or not at all, never twice; what contradicts halts."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import DDL, event, select

from exchange import names
from exchange.audit.disclosures import disclosures
from exchange.audit.questions import Selection, balance_of_grants, exchanged, unknown
from exchange.cli.ledger import audit
from exchange.keys import load_or_create
from exchange.ledger import tables, tag_index
from exchange.ledger.body import encode, validate_entry
from exchange.ledger.entry import Entry, Outcome, Span, Withdrawn, Withheld, tag
from exchange.ledger.intake import Intake, Marker, Placed, State
from exchange.ledger.merkle import digest_leaf
from exchange.ledger.store import LedgerContradictionError, LedgerStore, StoreUnavailableError
from exchange.sql import DatabaseUrlError
from tests.rigs.ledgers import KEY, TIME_MS, one_epoch

LEDGER = (names.LEDGER_TOPIC, 0)


def entry(first: int, people: list[bytes | None], key: bytes = KEY) -> Entry:
    return Entry(
        epoch=1,
        router="r",
        time_ms=TIME_MS + first,
        topic="subject.dept.income",
        partition=0,
        runs=(Span(first, len(people)),),
        count=len(people),
        root=bytes(32),
        tags=b"".join(tag(person, key) for person in people),
        outcomes=(Outcome(("dept.readera", "dept.readerb"), len(people), 0, bytes(32), ()),),
        quarantined=(),
    )


def placed(offset: int, made: Entry, state: State = "committed") -> Placed:
    body = encode(made)
    return Placed(0, offset, 7, digest_leaf(None, body), body, made, state)


def intake(start: int, *entries: Placed, **more: list) -> Intake:
    return Intake(list(entries), positions={LEDGER: (start, start + max(1, len(entries)))}, **more)


def offsets(store: LedgerStore) -> list[int]:
    return [row[0] for row in store.rows(select(tables.entries.c.ledger_offset).order_by(tables.entries.c.id))]


def test_a_step_that_was_brought_in_is_refused_as_stale(store: LedgerStore) -> None:
    first = intake(0, placed(0, entry(0, [b"ann"])))
    store.apply(first)
    with pytest.raises(StoreUnavailableError):
        store.apply(first)
    assert store.positions() == {LEDGER: 1}
    assert offsets(store) == [0]


def test_an_entry_that_is_there_already_must_be_the_same(store: LedgerStore) -> None:
    store.apply(intake(0, placed(0, entry(0, [b"ann"]))))
    store.apply(intake(1, placed(0, entry(0, [b"ann"])), placed(1, entry(1, [b"bob"]))))
    assert offsets(store) == [0, 1]
    with pytest.raises(LedgerContradictionError, match=r"exchange.ledger/0 offset 1"):
        store.apply(intake(3, placed(2, entry(2, [b"cai"])), placed(1, entry(1, [b"eve"]))))
    assert offsets(store) == [0, 1]
    assert store.positions() == {LEDGER: 3}


def test_markers_decide_earlier_open_entries_of_their_producer(store: LedgerStore) -> None:
    store.apply(intake(0, placed(0, entry(0, [b"ann"]), "open"), placed(1, entry(1, [b"bob"]), "open")))
    assert store.open_entries() == 2
    others = Marker(1, 9, 7, "committed"), Marker(0, 9, 8, "committed")
    assert store.apply(intake(2, markers=[Marker(0, 1, 7, "aborted"), *others]))["aborted"] == 1
    assert store.open_entries() == 1
    third = placed(3, entry(3, [b"cai"]))
    assert store.apply(intake(3, third, markers=[Marker(0, 3, 7, "committed")]))["committed"] == 2
    states = store.rows(select(tables.entries.c.state).order_by(tables.entries.c.id))
    assert [row[0] for row in states] == ["aborted", "committed", "committed"]


def test_a_person_is_found_in_every_generation_of_the_index(
    store: LedgerStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tag_index, "GENERATION_ROWS", 3)
    for at in range(5):
        people: list[bytes | None] = [b"ann", b"p%d" % at, None, b"ann"]
        more = {"epochs": [one_epoch(1, "dept")]} if at == 0 else {}
        store.apply(intake(at, placed(at, entry(4 * at, people)), **more))
    assert len(store.rows(select(tables.generations))) == 3
    found = list(disclosures(store, tag(b"ann", KEY), Selection(reader="readerb")))
    assert [d.offsets for d in found] == [[4 * at, 4 * at + 3] for at in range(5)]
    assert [d.entry for d in found] == [f"exchange.ledger/0/{at}" for at in range(5)]
    assert not list(disclosures(store, bytes(16), Selection()))  # records without a key are about nobody


@pytest.mark.parametrize("question", ["exchanged", "disclosures"])
def test_an_answer_is_of_one_moment(store: LedgerStore, url: str, question: str) -> None:
    """The follower brings in an epoch and its first entry between two queries of one answer."""
    other, steps = LedgerStore(url), [intake(0, placed(0, late_entry()), epochs=[one_epoch(1, "dept")])]

    def follow(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if steps and statement.lstrip().upper().startswith("SELECT") and "ledger_" in statement:
            other.apply(steps.pop())

    event.listen(store.engine, "after_cursor_execute", follow)
    ask = {
        "exchanged": lambda: exchanged(store, Selection()),
        "disclosures": lambda: list(disclosures(store, tag(b"ann", KEY), Selection())),
    }[question]
    assert ask() == []
    assert steps == []
    assert len(ask()) == 2
    other.close()


def test_a_name_that_no_grant_has_is_told(store: LedgerStore) -> None:
    [grant, *_] = one_epoch(1, "dept").contract.grants
    store.apply(intake(0, placed(0, late_entry()), epochs=[one_epoch(1, "dept")]))
    assert unknown(store, Selection(subject=grant.subject, reader=grant.reader, grant=grant.id)) == []
    asked = Selection(subject="dept.nope", reader=grant.reader, grant="nope")
    assert unknown(store, asked) == [
        "no grant in the ledger's database has the subject 'dept.nope'",
        "no grant in the ledger's database has the id 'nope'",
    ]


def late_entry() -> Entry:
    """One record delivered, one withheld."""
    outcome = Outcome(("dept.readera", "dept.readerb"), 1, 0, bytes(32), (Withheld("filter", 1, b"\x02"),))
    return replace(entry(0, [b"ann", b"bob"]), outcomes=(outcome,))


def withdrawing_entry(first: int) -> Entry:
    """Three records: delivered, then withdrawn as its row left, then as its entity was deleted, with two rows."""
    withdrawn = (Withdrawn("left", 1, b"\x02", 1), Withdrawn("deleted", 1, b"\x04", 2))
    outcome = Outcome(("dept.readera", "dept.readerb"), 1, 5, bytes(32), (), withdrawn)
    return replace(entry(first, [b"ann", b"ann", b"bob"]), outcomes=(outcome,), row_tags=bytes(range(48)))


def test_what_readers_lost_is_counted_and_found(store: LedgerStore) -> None:
    made = withdrawing_entry(0)
    validate_entry(made)
    store.apply(intake(0, placed(0, made), epochs=[one_epoch(1, "dept")]))
    [one] = exchanged(store, Selection(grant="dept.readera"))
    assert (one.delivered, one.withheld, one.withdrawn) == (1, {}, {"deleted": 1, "left": 1})
    [balance] = balance_of_grants(store, Selection(grant="dept.readera"))
    assert (balance.records, balance.delivered, balance.withdrawn, balance.balanced) == (3, 1, 2, True)
    assert [row.withdrawals for row in store.rows(select(tables.outcomes))] == [3, 3]
    found = disclosures(store, tag(b"ann", KEY), Selection(reader="readera"))
    assert [(d.verdict, d.reason, d.offsets) for d in found] == [("delivered", "", [0]), ("withdrawn", "left", [1])]
    [lost] = disclosures(store, tag(b"bob", KEY), Selection(reader="readera"))
    assert (lost.verdict, lost.reason, lost.records) == ("withdrawn", "deleted", 1)


def test_a_person_is_told_what_was_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXCHANGE_HOME", str(tmp_path))
    key = load_or_create(tmp_path / "ledger.key")
    store = LedgerStore(f"sqlite:///{tmp_path / 'ledger.db'}")
    tags = b"".join(tag(person, key) for person in (b"ann", b"ann", b"bob"))
    store.apply(intake(0, placed(0, replace(withdrawing_entry(0), tags=tags)), epochs=[one_epoch(1, "dept")]))
    store.close()
    shown = CliRunner().invoke(audit, ["person", "ann", "--reader", "readera"]).output
    assert "1 record delivered to 1 department; 1 withdrawal" in shown
    listed = CliRunner().invoke(audit, ["list", "--output", "json", "--reader", "readera"]).stdout
    assert json.loads(listed)[0]["withdrawn"] == {"deleted": 1, "left": 1}
    assert CliRunner().invoke(audit, ["balance"]).exit_code == 0


def test_a_database_from_before_withdrawals_is_made_to_hold_them(store: LedgerStore, url: str) -> None:
    store.apply(intake(0, placed(0, entry(0, [b"ann"])), epochs=[one_epoch(1, "dept")]))
    with store.engine.begin() as connection:
        connection.execute(DDL("ALTER TABLE ledger_outcomes DROP COLUMN withdrawn"))
        connection.execute(DDL("ALTER TABLE ledger_outcomes DROP COLUMN withdrawals"))
        connection.execute(DDL("DROP TABLE ledger_withdrawn"))
    later = LedgerStore(url)
    later.apply(intake(1, placed(1, withdrawing_entry(1))))
    [balance] = balance_of_grants(later, Selection(grant="dept.readera"))
    assert (balance.records, balance.delivered, balance.withdrawn, balance.balanced) == (4, 2, 2, True)
    later.close()


def test_the_identifier_reaches_neither_log_nor_database(
    store: LedgerStore, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("EXCHANGE_HOME", str(tmp_path))
    monkeypatch.setenv("EXCHANGE_LEDGER_URL", url)
    key = load_or_create(tmp_path / "ledger.key")
    canary = "440100198001010017"
    caplog.set_level(logging.DEBUG)
    store.apply(intake(0, placed(0, entry(0, [canary.encode()], key)), epochs=[one_epoch(1, "dept")]))
    answer = CliRunner().invoke(audit, ["person", "-", "--output", "json"], input=f"{canary}\n")
    assert answer.exit_code == 0, answer.output
    assert {row["reader"] for row in json.loads(answer.stdout)} == {"readera", "readerb"}
    assert json.loads(answer.stdout)[0]["basis"] == "Measures for Social Assistance, art. 9"
    shown = CliRunner().invoke(audit, ["person", canary]).output
    assert "2 records delivered to 2 departments" in shown
    assert canary not in answer.output + shown + caplog.text
    for table in tables.metadata.sorted_tables:
        assert canary not in str(store.rows(select(table)))


@pytest.mark.parametrize(
    ("grants", "balanced", "unauthorised"),
    [
        (("dept.readera", "dept.readerb"), True, 0),
        (("dept.readera",), False, 0),
        (("dept.readera", "dept.readerb", "dept.expired"), False, 2),
    ],
)
def test_the_exit_status_says_whether_it_balances(
    grants: tuple[str, ...], balanced: bool, unauthorised: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXCHANGE_HOME", str(tmp_path))
    store = LedgerStore(f"sqlite:///{tmp_path / 'ledger.db'}")
    made = replace(entry(0, [b"ann", b"bob"]), outcomes=(Outcome(grants, 2, 0, bytes(32), ()),))
    store.apply(intake(0, placed(0, made), epochs=[one_epoch(1, "dept")]))
    store.close()
    answer = CliRunner().invoke(audit, ["balance", "--output", "json"])
    assert answer.exit_code == (0 if balanced else 1)
    found = json.loads(answer.stdout)
    assert found["balanced"] is balanced
    assert found["partitions"][0]["unauthorised"] == unauthorised
    assert CliRunner().invoke(audit, ["balance"]).exit_code == answer.exit_code


def test_a_database_that_does_not_answer_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError):
        LedgerStore(f"sqlite:///{tmp_path / 'missing' / 'ledger.db'}")
    with pytest.raises(StoreUnavailableError):
        LedgerStore("postgresql+psycopg://nobody@127.0.0.1:1/none?connect_timeout=2")
    with pytest.raises(DatabaseUrlError):
        LedgerStore("nonsense")
