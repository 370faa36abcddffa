"""What `exchange grant explain` answers of a record by which a reader lost rows."""

from __future__ import annotations

from exchange.audit.explain import of_place
from exchange.ledger.body import encode, validate_entry
from exchange.ledger.entry import Entry, Outcome, Span, Withdrawn, Withheld, tag
from exchange.ledger.intake import Intake, Placed
from exchange.ledger.store import LedgerStore
from tests.rigs.ledgers import KEY, TIME_MS, one_epoch


def test_a_withdrawal_is_explained_with_its_reason() -> None:
    outcome = Outcome(
        ("dept.readera",),
        delivered=1,
        size_bytes=5,
        digest=bytes(32),
        withheld=(Withheld("tombstone", 1, b"\x08"),),
        withdrawn=(Withdrawn("left", 1, b"\x02", 1), Withdrawn("deleted", 1, b"\x04", 3)),
    )
    entry = Entry(
        epoch=1,
        router="r",
        time_ms=TIME_MS,
        topic="subject.dept.income",
        partition=0,
        runs=(Span(0, 4),),
        count=4,
        root=bytes(32),
        tags=b"".join(tag(person, KEY) for person in (b"ann", b"ann", b"bob", b"cai")),
        outcomes=(outcome,),
        quarantined=(),
        row_tags=bytes(range(64)),
    )
    validate_entry(entry)
    store, epoch = LedgerStore("sqlite://"), one_epoch(1, "dept")
    store.apply(Intake([Placed(0, 0, 7, b"", encode(entry), entry, "committed")]))
    found = [of_place(store, {1: epoch}, "dept.income", "readera", (0, offset)) for offset in range(4)]
    assert [(one.verdict, one.reason) for [one] in found] == [
        ("delivered", ""),
        ("withdrawn", "left"),
        ("withdrawn", "deleted"),
        ("withheld", "tombstone"),
    ]
    assert "the grant no longer covers it" in found[1][0].detail
    assert "the owner deleted it" in found[2][0].detail
    store.close()
