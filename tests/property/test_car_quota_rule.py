"""The rule against a slow oracle that looks at the life itself, not at answers; a missing answer never decides."""

from __future__ import annotations

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from tests.rigs.quota_lives import ELSEWHERE, HERE, Life, answers_of, case_type, conclude, failed, rested_on

DAY = timedelta(days=1)
NEW = date(2018, 7, 1)
CITIES = st.sampled_from([HERE, HERE, HERE, ELSEWHERE])
# On both sides of the change of rules, and around leap days.
DAYS = [
    (2016, 2, 29),
    (2018, 2, 27),
    (2018, 2, 28),
    (2018, 6, 9),
    (2018, 7, 13),
    (2019, 1, 13),
    (2020, 2, 28),
    (2020, 3, 1),
]
ASKED = st.sampled_from([date(*day) for day in DAYS])
ITEMS = [item.name for item in case_type("quota").items]


def rare(elements: st.SearchStrategy[int]) -> st.SearchStrategy[int]:
    return st.one_of(st.just(0), st.just(0), elements)


@st.composite
def insured_months(draw: st.DrawFn, asked_on: date) -> tuple[tuple[str, date], ...]:
    """Months around the window, most of them paid, some twice or elsewhere."""
    found = []
    for back in range(-1, 40):
        number = asked_on.year * 12 + asked_on.month - 1 - back
        for _ in range(draw(st.sampled_from([0, 1, 1, 2]))):
            found.append((draw(CITIES), date(number // 12, number % 12 + 1, 1)))
    return tuple(found)


@st.composite
def insured_times(draw: st.DrawFn, asked_on: date) -> tuple[tuple[str, date, date], ...]:
    """Times one after the other, backwards from about the day of the question, at most with small gaps."""
    found, last = [], asked_on + draw(st.integers(-1, 3)) * DAY
    for _ in range(draw(st.integers(0, 3))):
        first = last - draw(st.sampled_from([200, 364, 365, 366, 400, 730, 731])) * DAY
        found.append((draw(CITIES), first, last))
        last = first - draw(st.sampled_from([-5, 0, 1, 1, 1, 2])) * DAY
    return tuple(found)


@st.composite
def lives(draw: st.DrawFn) -> tuple[Life, date]:
    asked_on, flags = draw(ASKED), st.sampled_from([False, False, False, True])
    life = Life(
        hukou=draw(flags),
        soldier=draw(flags),
        permit=draw(st.booleans()),
        talent=draw(flags),
        outsider=draw(flags),
        here_last_year=draw(st.integers(7, 12)),
        here_year_before=draw(st.integers(7, 12)),
        identity_until=asked_on + draw(st.integers(-1, 5)) * DAY,
        licence_until=asked_on + draw(st.integers(-1, 5)) * DAY,
        cars=tuple(draw(st.lists(st.sampled_from(["in use", "cancelled", "scrapped", "stolen"]), max_size=3))),
        quotas_held=draw(rare(st.integers(1, 2))),
        replacement=draw(flags),
        lottery_unused=draw(rare(st.integers(1, 2))),
        insured_months=draw(insured_months(asked_on)),
        insured_times=draw(insured_times(asked_on)),
    )
    return life, asked_on


def runs_for_two_years(life: Life, asked_on: date) -> bool:
    """Back day by day to the first that is insured here without a gap; two years later at the latest it is tomorrow."""
    first = asked_on + DAY
    while any(city == HERE and begin <= first - DAY <= end for city, begin, end in life.insured_times):
        first -= DAY
    leap_day = (first.month, first.day) == (2, 29)
    later = date(first.year + 2, 3, 1) if leap_day else first.replace(year=first.year + 2)
    return later <= asked_on + DAY


def months_in_three_years(life: Life, asked_on: date) -> int:
    """Month by month, the 36 before that of the day."""
    count = 0
    month = asked_on.replace(day=1)
    for _ in range(36):
        month = (month - DAY).replace(day=1)
        count += any((city, there) == (HERE, month) for city, there in life.insured_months)
    return count


def oracle(life: Life, asked_on: date, day: date) -> set[str]:
    """The conditions that fail."""
    found = set()
    if day < NEW:
        insured = life.permit and runs_for_two_years(life, asked_on)
    else:
        insured = months_in_three_years(life, asked_on) >= 24
    outsider = life.outsider and min(life.here_last_year, life.here_year_before) >= 9
    if not (life.hukou or life.soldier or life.talent or outsider or insured):
        found.add("lives")
    if life.identity_until < asked_on:
        found.add("identity")
    if life.licence_until < asked_on:
        found.add("licence")
    if "in use" in life.cars:
        found.add("cars")
    if life.quotas_held:
        found.add("quotas")
    if life.replacement:
        found.add("replacement")
    if life.lottery_unused:
        found.add("unused")
    return found


@given(st.data(), ASKED)
def test_human_resources_count_as_the_oracle_does(data: st.DataObject, asked_on: date) -> None:
    life = Life(
        insured_months=data.draw(insured_months(asked_on)),
        insured_times=data.draw(insured_times(asked_on)),
    )
    answers = answers_of(life, asked_on)
    insured, running = answers["insurance"] or {"months": 0}, answers["insurance-running"] or {"full_years": 0}
    assert insured == {"months": months_in_three_years(life, asked_on)}
    assert (running["full_years"] >= 2) is runs_for_two_years(life, asked_on)


@given(lives())
def test_the_rule_finds_what_the_oracle_finds(applicant: tuple[Life, date]) -> None:
    life, asked_on = applicant
    found, expected = conclude("quota", answers_of(life, asked_on), asked_on), oracle(life, asked_on, asked_on)
    assert set(failed(found)) == expected
    assert found.outcome == ("excluded" if expected else "eligible")
    assert len(found.reasons) == len(expected) or not expected


@given(lives(), st.sets(st.sampled_from(ITEMS), min_size=1))
def test_a_missing_answer_never_decides(applicant: tuple[Life, date], missing: set[str]) -> None:
    """Whatever is missing: nobody is eligible, and who is excluded would be with any other answer, too."""
    life, asked_on = applicant
    found = conclude("quota", answers_of(life, asked_on), asked_on, tuple(missing))
    assert found.outcome != "eligible"
    assert set(failed(found)) <= oracle(life, asked_on, asked_on)
    assert not any(items & missing for items in rested_on(found))
    assert all(rested_on(found))
