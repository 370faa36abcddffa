"""What a capture decides without a database: what a snapshot saw, what was taken, what is left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from exchange.connect.cdc.captured import LAST, Begun, Captured, Stretch, Visibility, place
from exchange.connect.cdc.following import Following
from exchange.connect.cdc.pgoutput import Attribute, Begin, Commit, LoggedChange, Missing, Raw, Relation
from exchange.connect.cdc.setup import CaptureSetupError, TableColumn
from exchange.connect.config import SourceConfig
from exchange.connect.source import Deleted

TABLE = 7
BEGUN = Begun(1, False, "s", TABLE, 7, (1,), {"id": TableColumn(23, -1, 1, 9), "name": TableColumn(25, -1, 2, 9)})
RELATION = Relation(TABLE, (Attribute("id", 23, -1, True), Attribute("name", 25, -1, False)))
Message = Any


def seen(text: str) -> Visibility:
    return Visibility.of(text)


def change(new: tuple[Raw, ...] | None, old: tuple[Raw, ...] | None = None) -> LoggedChange:
    return LoggedChange(TABLE, old, new, whole=False)


def taken(position: Captured, *messages: Message, now: Mapping[str, bytes] | None = None) -> tuple[list[Any], Captured]:
    following = Following(
        position, BEGUN, ("id",), lambda names, values: dict(zip(names, values, strict=True)), lambda key, at: now
    )
    rows = [row for message in messages for row in following.take(message)]
    return rows, following.position


def rows(*names: bytes) -> list[dict[str, bytes]]:
    return [{"id": b"1", "name": name} for name in names]


STREAM = (
    Begin(100, 0.0, 50), RELATION, change((b"1", b"a")), change((b"1", b"b")), Commit(110),
    Begin(200, 0.0, 51), change((b"1", b"c")), Commit(210),
)  # fmt: skip
START = Captured(BEGUN, (Stretch(LAST, seen("40:40:")),), 90)


def test_a_stream_that_is_sent_again_is_taken_once_from_wherever_it_broke_off() -> None:
    whole, _ = taken(START, *STREAM)
    assert whole == rows(b"a", b"b", b"c")
    for end in range(len(STREAM)):
        first, position = taken(START, *STREAM[:end])
        position = Captured.of(
            {k: v for k, v in (BEGUN.progress() | position.read_progress() | position.taken_progress()).items() if v}
        )
        second, _ = taken(position, *STREAM)
        assert first + second == whole, end


def test_a_change_that_the_snapshot_of_its_row_saw_is_left_out() -> None:
    parts = (Stretch(place([b"1"]), seen("50:52:51")), Stretch(LAST, seen("60:60:")))
    assert taken(replace(START, parts=parts, overlap=900), *STREAM)[0] == rows(b"c")
    turned = (Stretch(b"", seen("50:50:")), Stretch(LAST, seen("50:52:50")))
    assert taken(replace(START, parts=turned, overlap=900), *STREAM)[0] == rows(b"a", b"b")


@pytest.mark.parametrize(
    ("later", "sees"), [("9:20:", True), ("9:20:9,15", True), ("9:20:10", False), ("8:9:", False), ("9:20:12", True)]
)
def test_a_later_snapshot_has_to_see_what_an_earlier_one_saw(later: str, sees: bool) -> None:
    assert seen(later).sees_all_of(seen("9:13:9,12")) == sees


@pytest.mark.parametrize(
    ("now", "published"),
    [
        ({"id": b"1", "name": b"long"}, rows(b"long")),
        (None, []),
    ],
)
def test_a_long_value_is_read_again_or_the_version_is_left_out(
    now: Mapping[str, bytes] | None, published: list[Any]
) -> None:
    update = change((b"1", Missing.UNCHANGED))
    assert taken(START, Begin(100, 0.0, 50), RELATION, update, now=now)[0] == published


def test_a_row_with_another_key_is_deleted_first() -> None:
    update = change((b"2", b"a"), old=(b"1", None))
    made, _ = taken(START, Begin(100, 0.0, 50), RELATION, update)
    assert made == [Deleted({"id": b"1"}), {"id": b"2", "name": b"a"}]


def test_an_identity_without_the_key_is_refused() -> None:
    bare = Relation(TABLE, (Attribute("id", 23, -1, False), Attribute("name", 25, -1, True)))
    with pytest.raises(CaptureSetupError, match="no id"):
        taken(START, Begin(100, 0.0, 50), bare)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"query": "SELECT 1", "cdc": "postgresql"}, "cdc goes with a table"),
        ({"table": "t", "cdc": "postgresql", "cursor": {"time": "a", "id": "b"}}, "cdc goes with a table"),
        ({"table": "t", "cdc": "oracle"}, "postgresql"),
    ],
)
def test_a_file_that_cannot_be(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SourceConfig.model_validate({"subject": "a.b", **config})


def test_a_log_is_looked_at_often() -> None:
    capture = {"subject": "a.b", "table": "t", "cdc": {"kind": "postgresql", "snapshot": 2}}
    assert SourceConfig.model_validate(capture).pause_s == 0.05
    assert SourceConfig.model_validate({**capture, "poll_s": 3}).pause_s == 3
