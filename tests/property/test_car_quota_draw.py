"""Laws of the draw, and the same winners in a second program that shares no code with it."""

from __future__ import annotations

from pathlib import Path
from random import Random

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from exchange.apps.car_quota.lottery import draw, read_draw_list, verify
from tests.rigs.draws import drawn_in_node, listed

ENTRANTS = st.dictionaries(st.text("0123456789AZ", min_size=1, max_size=4), st.integers(1, 6), max_size=40)
QUOTAS = st.integers(0, 50)
SEEDS = st.integers(0, 999_999).map("{:06}".format)


@given(ENTRANTS, QUOTAS, SEEDS, st.randoms(use_true_random=False))
def test_the_order_in_which_entrants_come_changes_nothing(
    entrants: dict[str, int], quotas: int, seed: str, random: Random
) -> None:
    shuffled = list(entrants.items())
    random.shuffle(shuffled)
    assert draw(listed(shuffled, quotas), seed).content == draw(listed(entrants.items(), quotas), seed).content


@given(ENTRANTS, QUOTAS, SEEDS)
def test_as_many_win_as_there_are_quotas_each_once_by_a_number_of_theirs(
    entrants: dict[str, int], quotas: int, seed: str
) -> None:
    list_ = listed(entrants.items(), quotas)
    result = draw(list_, seed)
    codes = [winner.code for winner in result.winners]
    assert len(codes) == len(set(codes)) == min(quotas, len(entrants))
    assert all(list_.base_numbers()[number - 1] == code for number, code in result.winners)
    assert verify(list_.content, list_.seal, result.content) == result


@given(ENTRANTS)
def test_each_code_has_as_many_base_numbers_as_its_tier(entrants: dict[str, int]) -> None:
    numbers = listed(entrants.items()).base_numbers()
    assert {code: numbers.count(code) for code in numbers} == entrants
    assert numbers[: len(entrants)] == sorted(entrants)


@given(ENTRANTS, ENTRANTS, QUOTAS, QUOTAS)
def test_another_list_has_another_seal(
    entrants: dict[str, int], others: dict[str, int], quotas: int, more: int
) -> None:
    assume((entrants, quotas) != (others, more))
    assert listed(entrants.items(), quotas).seal != listed(others.items(), more).seal


@given(ENTRANTS, QUOTAS)
def test_a_published_list_is_read_as_it_was(entrants: dict[str, int], quotas: int) -> None:
    list_ = listed(entrants.items(), quotas)
    assert read_draw_list(list_.content) == list_


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ENTRANTS, QUOTAS, SEEDS)
def test_a_second_program_finds_the_same_winners(
    tmp_path: Path, entrants: dict[str, int], quotas: int, seed: str
) -> None:
    list_ = listed(entrants.items(), quotas)
    assert drawn_in_node(list_.content, seed, tmp_path) == draw(list_, seed).content
