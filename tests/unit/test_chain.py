"""A chain of digests: what was written verifies, and what was touched says where."""

from __future__ import annotations

import pytest

from exchange.chain import START, digest, verify
from exchange.errors import CorruptionError

TOLD = (("opened", "王"), ("asked", None), ("closed", 3))
LINKS: list[tuple[int, tuple[object, ...], bytes]] = []
for _told in TOLD:
    LINKS.append((len(LINKS) + 1, _told, digest(LINKS[-1][2] if LINKS else START, len(LINKS) + 1, _told)))
HEAD = (3, LINKS[-1][2])


def test_what_was_written_verifies() -> None:
    assert verify(LINKS, HEAD, CorruptionError) == 3
    assert verify([], (0, START), CorruptionError) == 0


def test_digests_stay_as_they_are_in_databases() -> None:
    assert LINKS[0][2].hex() == "608a54c2bec8e7df9102627ec3f867cb46399e75b3325821c817132b60e6a563"


@pytest.mark.parametrize(
    ("links", "head", "fault"),
    [
        ([LINKS[0], (2, ("asked", 1), LINKS[1][2]), LINKS[2]], HEAD, "event 2 is not what was written"),
        ([LINKS[0], LINKS[2]], HEAD, "event 2 is missing"),
        (LINKS[:2], HEAD, "ends after event 2, but 3 were written"),
        (LINKS, (3, START), "ends after event 3"),
        ([(2, *LINKS[0][1:])], HEAD, "event 1 is missing"),
    ],
)
def test_what_was_touched_says_where(
    links: list[tuple[int, tuple[object, ...], bytes]], head: tuple[int, bytes], fault: str
) -> None:
    with pytest.raises(CorruptionError, match=fault):
        verify(links, head, CorruptionError)
