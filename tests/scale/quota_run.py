"""Runs the month of car quotas: a sample through the engine; allocation, codes, list, seal and draw of all."""

from __future__ import annotations

import cProfile
import resource
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import date
from pathlib import Path

from exchange.apps.car_quota.allocation import allocate
from exchange.apps.car_quota.application_code import issue
from exchange.apps.car_quota.lottery import DrawResult, draw, draw_list, verify
from exchange.apps.car_quota.quota_month import QuotaMonth, days_of
from exchange.apps.car_quota.quota_rules import read_quota_rules
from exchange.cases.case import Case
from exchange.workdays import Calendar
from tests.rigs.draws import SECOND_PROGRAM
from tests.rigs.programs import program
from tests.scale.quota_applicants import entrants, sample
from tests.scale.quota_month import REGION, Review, found_by, visits

PERSONS, UNITS = 6_630_000, 110_000
SAMPLE = {"quota": 240, "quota-unit": 60}
OCTOBER, NOVEMBER = date(2013, 10, 1), date(2013, 11, 1)
SEED = "271828"
RULES = read_quota_rules(Path(__file__).parents[1] / "rigs" / "car_quota" / "rules.yaml")


def run(home: Path, size: float, database: str, *, check: bool, profile: Path | None) -> bool:
    """Whether the allocation is the notice's, Node draws the same winners, and the second program finds the same."""
    calendar = Calendar()
    month = days_of(RULES, NOVEMBER, REGION, calendar)
    applicants = {"quota": round(PERSONS * size), "quota-unit": round(UNITS * size)}
    url = database or f"sqlite:///{home / 'city' / 'transport.db'}"
    profiler = cProfile.Profile() if profile else None
    if profiler and profile:
        profiler.enable()
    is_right = _reviewed(home, url, applicants, month, calendar, check=check)
    if profiler and profile:
        profiler.disable()
        profiler.dump_stats(profile)
    allotted = allocate(RULES.plan(NOVEMBER, REGION), NOVEMBER, RULES.unused_of(OCTOBER, REGION))
    for part in allotted.parts:
        print(f"allocation, {part.kind} for {part.applicants}: {part.new:,} + {part.rolled_over:,} = {part.total:,}")
    print(f"allocation of November 2013: {allotted.total:,} (the notice: 11,942)")
    is_right = is_right and allotted.total == 11_942
    for type_, name in (("quota", "persons"), ("quota-unit", "units")):
        quotas = allotted.part("lottery", name).total
        is_right = _drawn(home, name, applicants[type_], quotas, month) and is_right
    return is_right


def _reviewed(
    home: Path, url: str, applicants: dict[str, int], month: QuotaMonth, calendar: Calendar, *, check: bool
) -> bool:
    """Put a sample through the engine, and say what that takes; whether the second program finds the same."""
    number = {type_: min(SAMPLE[type_], max(5, applicants[type_])) for type_ in SAMPLE}
    drawn = sample(number["quota"], number["quota-unit"], month.asked_on, seed=2013)
    with closing(Review(home, url, drawn, month, calendar)) as review:
        began, began_cpu = time.monotonic(), time.process_time()
        review.run()
        took_s, cpu_s = time.monotonic() - began, time.process_time() - began_cpu
        cases = review.cases()
        different = review.differences() if check else {}
        on_time = found_by(cases, review.store, month.result_on)
    count = len(cases)
    print(f"{count:,} applications through the engine in {took_s:,.0f} s: {3600 * count / took_s:,.0f} an hour")
    whole = sum(applicants.values())
    print(f"CPU: {cpu_s / count:.3f} s each, so {whole:,} take {whole * cpu_s / count / 3600:,.1f} CPU hours")
    print(f"with a result on {month.result_on}: {on_time:,} of {count:,}")
    _say_visits(cases, applicants)
    for type_ in SAMPLE:
        outcomes = Counter(case.finding.outcome for case in cases if case.type == type_ and case.finding)
        print(f"{type_}: {', '.join(f'{n:,} {outcome}' for outcome, n in outcomes.most_common())}")
    if check:
        print(f"second program: {count:,} findings compared, {len(different):,} differ")
    return not different


def _say_visits(cases: list[Case], applicants: dict[str, int]) -> None:
    """Visits are counted in the sample; the mean of all is that of its types by their numbers of applicants."""
    mean = {}
    for type_ in SAMPLE:
        its = [case for case in cases if case.type == type_]
        mean[type_] = visits(its).total() / len(its)
    whole = sum(applicants[type_] * mean[type_] for type_ in SAMPLE) / sum(applicants.values())
    each = ", ".join(f"{type_} {number:.2f}" for type_, number in mean.items())
    print(f"visits avoided, one for each department that gave facts instead: {each}; all {whole:.2f} (the city: 4.01)")


def _drawn(home: Path, name: str, count: int, quotas: int, month: QuotaMonth) -> bool:
    """Give a code to each, as if nobody were excluded; then seal, draw, verify, and draw again in Node."""
    print(f"{name}: {count:,} codes for {quotas:,} quotas")
    with _timed("codes are given"):
        given = sum(
            issue((), f"{n:013}", f"{n}", month.result_on, month.rules.code_months).valid_on(month.draw_on)
            for n in range(count)
        )
    with _timed("the list is made"):
        listed = draw_list(NOVEMBER, "lottery", name, quotas, entrants(given, seed=len(name)))
    with _timed(f"it is sealed, {sum(each.tier for each in listed.entrants):,} base numbers"):
        content, seal = listed.content, listed.seal
    path = home / f"list-{name}.txt"
    path.write_bytes(content)
    with _timed("it is drawn"):
        result = draw(listed, SEED)
    del listed
    with _timed("the result is verified"):
        verify(content, seal, result.content)
    with _timed("Node draws again"):
        is_same = _in_node(path, result)
    print(f"  {len(result.winners):,} winners; Node draws {'the same' if is_same else 'OTHERS'}")
    return is_same and len(result.winners) == min(quotas, count)


def _in_node(path: Path, result: DrawResult) -> bool:
    command = [program("node"), "--max-old-space-size=8192", str(SECOND_PROGRAM), str(path), SEED]
    return subprocess.run(command, check=True, capture_output=True).stdout == result.content


@contextmanager
def _timed(what: str) -> Iterator[None]:
    began, began_cpu = time.monotonic(), time.process_time()
    yield
    took = f"{time.monotonic() - began:,.1f} s, {time.process_time() - began_cpu:,.1f} of the processor"
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"  {what}: {took}, at most {peak_gb:,.1f} GB of memory so far", flush=True)
