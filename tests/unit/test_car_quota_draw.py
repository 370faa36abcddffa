"""The draw: files as documented, odds by tier, and that a changed list, seed or result is seen."""

from __future__ import annotations

import hashlib
from collections import Counter
from itertools import permutations
from pathlib import Path

import pytest

from exchange.apps.car_quota.lottery import (
    DrawError,
    DrawResultError,
    Entrant,
    Winner,
    draw,
    read_draw_list,
    verify,
)
from exchange.apps.car_quota.lottery_seed import WORD, SeedError, below, words
from tests.rigs.draws import SECOND_PROGRAM, drawn_in_node, listed, many

LIST = listed([("C", 1), ("A", 2), ("B", 3), ("D", 1)], quotas=2)
RESULT = draw(LIST, "012345")


def test_the_files_are_as_documented() -> None:
    assert LIST.content == b"quota-draw 1 2013-11 lottery persons 2\nA 2\nB 3\nC 1\nD 1\n"
    assert LIST.seal == hashlib.sha256(LIST.content).hexdigest()
    assert RESULT.content == (
        f"quota-draw-result 1 {LIST.seal} 012345\n".encode()
        + b"".join(f"{number} {code}\n".encode() for number, code in RESULT.winners)
    )


def test_codes_ascending_get_base_numbers_then_those_of_higher_tiers_again() -> None:
    assert LIST.base_numbers() == ["A", "B", "C", "D", "A", "B", "B"]


def test_a_draw_of_then_gives_what_it_gave_then() -> None:
    """Published results can be computed again for years: one version of the format has one algorithm."""
    result = draw(many(1000, quotas=5), "271828")
    assert result.seal == "2effc8f711b394455097674947c4de15b33f99e7624d4410ef0ab5c468f77c48"
    assert result.winners == (
        (1585, "0000000000877"),
        (789, "0000000000788"),
        (418, "0000000000417"),
        (1216, "0000000000323"),
        (977, "0000000000976"),
    )


def test_words_are_sha_256_of_seal_seed_and_a_counter() -> None:
    first, second = (hashlib.sha256(f"ab:000001:{n}".encode()).digest() for n in range(2))
    expected = [int.from_bytes((first + second)[at : at + 4], "big") for at in range(0, 64, 4)]
    source = words("ab", "000001")
    assert [next(source) for _ in range(16)] == expected


def test_a_word_that_would_favour_small_numbers_is_passed_over() -> None:
    last = WORD - WORD % 7  # the first word that is too high
    assert below(7, iter([WORD - 1, last, last - 1])) == 6
    assert below(WORD, iter([WORD - 1])) == WORD - 1


@pytest.mark.parametrize("seed", ["", "12345", "1234567", "12345a", "１２３４５６", "123456\n"])
def test_a_seed_is_six_digits(seed: str) -> None:
    with pytest.raises(SeedError):
        draw(LIST, seed)


@pytest.mark.parametrize(
    "entrants",
    [
        [("A", 0)],
        [("A", 1001)],
        [("a", 1)],
        [("", 1)],
        [("A B", 1)],
        [("A", 1), ("A", 2)],
        [("A" * 33, 1)],
        [("甲", 1)],
    ],
)
def test_what_other_programs_could_read_otherwise_is_on_no_list(entrants: list[tuple[str, int]]) -> None:
    with pytest.raises(DrawError):
        listed(entrants)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"A 2\nB 3\n", b"B 3\nA 2\n"),
        (b"A 2\n", b"A 02\n"),
        (b"A 2\n", b"A  2\n"),
        (b"A 2\n", b"A 2\r\n"),
        (b"A 2\n", b"A 2\n\n"),
        (b"D 1\n", b"D 1"),
        (b"A 2\n", b"A 2\nA 2\n"),
        (b"draw 1", b"draw 2"),
        (b"2013-11", b"2013-13"),
        (b"persons 2", b"persons 02"),
        (b"A 2", b"\xff 2"),
    ],
)
def test_a_list_has_one_form_only(old: bytes, new: bytes) -> None:
    assert read_draw_list(LIST.content) == LIST
    assert old in LIST.content
    with pytest.raises(DrawError):
        read_draw_list(LIST.content.replace(old, new))


def test_a_changed_list_seed_or_result_is_seen() -> None:
    assert verify(LIST.content, LIST.seal, RESULT.content) == RESULT
    changed = LIST.content.replace(b"C 1", b"C 2")
    with pytest.raises(DrawResultError, match="not the one that was sealed"):
        verify(changed, LIST.seal, RESULT.content)
    with pytest.raises(DrawResultError, match="not what the sealed list and the seed give"):
        verify(changed, read_draw_list(changed).seal, RESULT.content)
    other_seed = next(s for s in map("{:06}".format, range(100)) if draw(LIST, s).winners != RESULT.winners)
    with pytest.raises(DrawResultError, match="not what"):
        verify(LIST.content, LIST.seal, RESULT.content.replace(b"012345", other_seed.encode()))
    with pytest.raises(DrawResultError, match="not what"):
        verify(LIST.content, LIST.seal, RESULT.content.rsplit(b"\n", 2)[0] + b"\n")
    with pytest.raises(DrawResultError, match="first line"):
        verify(LIST.content, LIST.seal, b"")


def outcomes(tiers: dict[str, int]) -> dict[tuple[str, str], float]:
    """How likely each first and second winner is: each code in proportion to its tier, the first one left out."""
    whole = sum(tiers.values())
    return {(a, b): tiers[a] / whole * tiers[b] / (whole - tiers[a]) for a, b in permutations(tiers, 2)}


def chi_squared(found: Counter[tuple[str, str]], expected: dict[tuple[str, str], float]) -> float:
    draws = sum(found.values())
    return sum((found[one] - draws * odds) ** 2 / (draws * odds) for one, odds in expected.items())


def test_the_odds_are_those_of_the_tiers() -> None:
    """Over 20,000 seeds; 12 possible outcomes, so 11 degrees of freedom: 31.26 is exceeded once in 1,000."""
    tiers = dict(LIST.entrants)
    found = Counter(tuple(winner.code for winner in draw(LIST, f"{seed:06}").winners) for seed in range(20_000))
    assert chi_squared(found, outcomes(tiers)) < 31.26
    assert chi_squared(found, outcomes(dict.fromkeys(tiers, 1))) > 1000  # nor would the test take any other odds
    assert chi_squared(found, outcomes({**tiers, "C": 2})) > 1000


def test_every_base_number_is_as_likely_as_the_others() -> None:
    """The first number drawn of 49, over 20,000 seeds; 48 degrees of freedom: 84.04 is exceeded once in 1,000."""
    list_ = many(25, quotas=1)
    count = len(list_.base_numbers())
    found = Counter(draw(list_, f"{seed:06}").winners[0].base_number for seed in range(20_000))
    assert count == 49
    assert sum((found[n] - 20_000 / count) ** 2 / (20_000 / count) for n in range(1, count + 1)) < 84.04


def test_the_second_program_also_passes_words_over(tmp_path: Path) -> None:
    """A draw of 250,000 base numbers, in which some words are too high."""
    list_ = many(125_000, quotas=124_999)
    result = draw(list_, "314159")
    source, numbers, passed_over = words(list_.seal, "314159"), len(list_.base_numbers()), 0
    for at in range(numbers - 1000):
        while next(source) >= WORD - WORD % (numbers - at):
            passed_over += 1
    assert passed_over > 0
    assert drawn_in_node(list_.content, "314159", tmp_path) == result.content


def test_the_second_program_is_short() -> None:
    assert len(SECOND_PROGRAM.read_text("utf-8").splitlines()) <= 50


def test_without_quotas_or_entrants_nobody_wins() -> None:
    assert draw(listed([("A", 1)], quotas=0), "000000").winners == ()
    assert draw(listed([], quotas=3), "000000").winners == ()
    assert draw(listed([Entrant("A")], quotas=3), "000000").winners == (Winner(1, "A"),)
