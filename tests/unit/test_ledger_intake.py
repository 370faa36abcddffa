"""An intake decides its entries by their transactions' markers; records that no router wrote stop it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from exchange import names
from exchange.errors import CorruptionError
from exchange.ledger.body import encode
from exchange.ledger.entry import adoption
from exchange.ledger.follower import take_entries, take_epochs
from exchange.ledger.intake import Intake, Marker, Placed
from exchange.records.build import pack
from exchange.records.header import RawBatch, parse, stamp
from exchange.schema import wire

ENTRY = adoption(1, "r", 0, 0)


def placed(offset: int, producer_id: int, partition: int = 0) -> Placed:
    return Placed(partition, offset, producer_id, b"", b"", ENTRY)


def test_a_marker_decides_what_its_producer_wrote_before_it() -> None:
    intake = Intake()
    for entry in (placed(0, 7), placed(1, 8), placed(2, 7), placed(0, 7, partition=1)):
        intake.add(entry)
    intake.end(Marker(0, 3, 7, "aborted"))
    intake.add(placed(4, 7))
    intake.end(Marker(0, 5, 8, "committed"))
    assert [(p.offset, p.state) for p in intake.entries] == [
        (0, "aborted"),
        (1, "committed"),
        (2, "aborted"),
        (0, "open"),
        (4, "open"),
    ]
    assert intake.records == 5
    assert len(intake.markers) == 2


def test_positions_span_the_step() -> None:
    intake = Intake()
    intake.advance("t", 0, 5, 8)
    intake.advance("t", 1, 0, 1)
    intake.advance("t", 0, 8, 9)
    assert intake.positions == {("t", 0): (5, 9), ("t", 1): (0, 1)}


def batch(values: Sequence[bytes | None], *, topic: str = names.LEDGER_TOPIC, transactional: bool = True) -> RawBatch:
    made = pack([b"k"] * len(values), values, [0] * len(values))[0]
    stamp(made.head, made.body, 7, 0, 0, transactional)
    return RawBatch(topic, 3, parse(made.data), memoryview(made.data), 0)


def test_entries_are_taken_with_place_and_digest() -> None:
    intake = Intake()
    take_entries(intake, batch([wire.pack(1, encode(ENTRY)), wire.pack(9, encode(ENTRY))]))
    assert [(p.partition, p.offset, p.producer_id, p.entry) for p in intake.entries] == [
        (3, 0, 7, ENTRY),
        (3, 1, 7, ENTRY),
    ]
    assert intake.entries[0].digest != intake.entries[1].digest


@pytest.mark.parametrize("value", [None, b"", b"\1\0\0\0\1", wire.pack(1, b""), wire.pack(1, encode(ENTRY)[:-5])])
def test_what_is_no_entry_stops_with_its_place(value: bytes | None) -> None:
    with pytest.raises(CorruptionError, match=r"exchange.ledger/3 offset 1"):
        take_entries(Intake(), batch([wire.pack(1, encode(ENTRY)), value]))


def test_what_was_written_outside_of_a_transaction_stops() -> None:
    with pytest.raises(CorruptionError, match="outside of a transaction"):
        take_entries(Intake(), batch([wire.pack(1, encode(ENTRY))], transactional=False))


def test_what_is_no_epoch_stops_with_its_place() -> None:
    with pytest.raises(CorruptionError, match=r"exchange.contract/3 offset 0"):
        take_epochs(Intake(), batch([b"{}"], topic=names.CONTRACT_TOPIC))
