"""A ledger entry survives its encoding, and an entry whose sums do not balance is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from exchange.errors import CorruptionError
from exchange.ledger.body import decode, encode, validate_entry
from exchange.ledger.entry import NULL_TAG, Entry, Outcome, Quarantined, Span, Withheld, adoption, ledger_partition, tag

KEY = bytes(range(32))


def entry(**changes: object) -> Entry:
    """Ten records in two runs: one view got 6, another none; record 3 (offset 103) is quarantined."""
    valid = Entry(
        epoch=7,
        router="r1",
        time_ms=1_763_800_000_123,
        topic="subject.tax.income",
        partition=2,
        runs=(Span(100, 4), Span(110, 6)),
        count=10,
        root=bytes(32),
        tags=b"".join(tag(str(i).encode(), KEY) for i in range(10)),
        outcomes=(
            Outcome(("a", "b"), 6, 1200, b"\x01" * 32, (Withheld("filter", 3, bytes([0b0000_0111, 0])),)),
            Outcome(("c",), 0, 0, b"\x02" * 32, (Withheld("unevaluable", 9, None),)),
        ),
        quarantined=(Quarantined(3, 103, "schema_id"),),
    )
    return replace(valid, **changes)  # type: ignore[arg-type]


def test_an_entry_survives_its_encoding() -> None:
    assert decode(encode(entry())) == entry()
    validate_entry(entry())


def test_an_adoption_is_a_valid_entry() -> None:
    adopted = adoption(8, "r1", 1_763_800_000_000, 41)
    validate_entry(adopted)
    assert adopted.is_adoption
    assert not entry().is_adoption
    assert decode(encode(adopted)) == adopted


def test_an_entry_from_before_there_were_replays_can_be_read() -> None:
    """Bytes as a router of the first version wrote them; today's are the same with more behind."""
    old = bytes.fromhex(
        "100472318098e1aad5662265786368616e67652e636f6e74726163740002520200020e5751c026e543b2e8ab2eb06099"
        "daa1d1e5df47778f7787faab45cdf12fe3a820000000000000000000000000000000000000"
    )
    adopted = adoption(8, "r1", 1_763_800_000_000, 41)
    assert decode(old) == adopted
    assert encode(adopted) == old + b"\0\0\0\0"
    for end in range(len(old)):
        with pytest.raises(CorruptionError):
            decode(old[:end])


def test_a_replay_is_of_one_grant() -> None:
    replayed = entry(replay="r-1", outcomes=(replace(entry().outcomes[1], grants=("c",)),))
    validate_entry(replayed)
    assert decode(encode(replayed)) == replayed
    with pytest.raises(CorruptionError):
        validate_entry(entry(replay="r-1"))


def test_offsets_follow_the_runs() -> None:
    assert [entry().offset(i) for i in range(10)] == [100, 101, 102, 103, 110, 111, 112, 113, 114, 115]
    with pytest.raises(IndexError):
        entry().offset(10)


@pytest.mark.parametrize(
    "changes",
    [
        {"count": 11},
        {"runs": (Span(100, 4), Span(103, 6))},
        {"runs": (Span(100, 10), Span(110, 0))},
        {"tags": bytes(159)},
        {"quarantined": ()},
        {"quarantined": (Quarantined(3, 104, "schema_id"),)},
        {"quarantined": (Quarantined(10, 103, "schema_id"),)},
        {"outcomes": (Outcome(("a",), 10, 0, bytes(32), ()),)},
        {"outcomes": (Outcome(("a",), 9, 0, bytes(31), ()),)},
        {"outcomes": (Outcome(("a", "a"), 9, 0, bytes(32), ()),)},
        {"outcomes": (Outcome(("a",), 6, 0, bytes(32), (Withheld("filter", 3, bytes([0b0000_1110, 0])),)),)},
        {"outcomes": (Outcome(("a",), 6, 0, bytes(32), (Withheld("filter", 3, bytes([0b0000_0011, 0])),)),)},
        {"outcomes": (Outcome(("a",), 6, 0, bytes(32), (Withheld("filter", 3, bytes([0b0000_0111])),)),)},
        {"outcomes": (Outcome(("a",), 8, 0, bytes(32), (Withheld("filter", 1, bytes([0, 0b0000_0100])),)),)},
        {
            "outcomes": (
                Outcome(
                    ("a",),
                    7,
                    0,
                    bytes(32),
                    (Withheld("filter", 1, bytes([1, 0])), Withheld("tombstone", 1, bytes([1, 0]))),
                ),
            )
        },
    ],
)
def test_an_entry_that_does_not_balance_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(CorruptionError):
        validate_entry(entry(**changes))


@pytest.mark.parametrize("body", [b"", b"\xff" * 40, encode(entry())[:-9]])
def test_bytes_that_are_no_entry_are_refused(body: bytes) -> None:
    with pytest.raises(CorruptionError):
        decode(body)


def test_a_tag_needs_the_key_and_hides_it() -> None:
    assert tag(None, KEY) == NULL_TAG
    assert tag(b"x", KEY) != tag(b"x", bytes(32))
    assert len(tag(b"x", KEY)) == 16


def test_entries_of_one_source_partition_share_a_ledger_partition() -> None:
    assert ledger_partition("subject.tax.income", 2, 8) == ledger_partition("subject.tax.income", 2, 8)
    assert {ledger_partition("subject.tax.income", p, 8) for p in range(64)} == set(range(8))
