"""Runs the year of household checks, prints its figures, and compares its findings with the second program's."""

from __future__ import annotations

import cProfile
import time
from contextlib import closing
from pathlib import Path

from tests.scale import figures
from tests.scale.households import INELIGIBLE
from tests.scale.progress import Progress
from tests.scale.seed import Seed
from tests.scale.year import Year


def run(home: Path, size: float, database: str, *, check: bool, profile: Path | None) -> bool:
    """Whether every finding is that of the second program, if it is compared, and every planted household was found."""
    url = database or f"sqlite:///{home / 'city' / 'civil-affairs.db'}"
    with closing(Year(home, url, size, Seed())) as year:
        before = figures.sizes(year, home)
        cases = len(year.households)
        profiler = cProfile.Profile() if profile else None
        began, began_cpu = time.monotonic(), time.process_time()
        if profiler:
            profiler.enable()
        year.run(Progress(cases, "cases"))
        if profiler and profile:
            profiler.disable()
            profiler.dump_stats(profile)
        took_s, cpu_s = time.monotonic() - began, time.process_time() - began_cpu
        made = figures.counted(year)
        _table(("", "this run", f"the city × {size:g}"), figures.lines(year, made, size))
        after = figures.sizes(year, home)
        print(
            f"\n{cases:,} cases in {took_s:,.0f} s: {3600 * cases / took_s:,.0f} an hour, "
            f"{cpu_s / cases:.3f} CPU s each"
        )
        for name, bytes_ in after.items():
            print(f"database of {name}: {bytes_ / 1e6:,.1f} MB, {(bytes_ - before[name]) / cases:,.0f} bytes a case")
        for step, seconds in year.cpu_s.most_common():
            print(f"  {step}: {seconds:,.1f} CPU s")
        is_right = _as_planted(year, made)
        if check:
            different = figures.differences(year, made, home)
            print(f"second program: {len(made.findings):,} findings compared, {len(different):,} differ")
            for case_no, (first, second) in list(different.items())[:10]:
                print(f"  {case_no}: {first} and not {second}")
            is_right = is_right and not different
        return is_right


def _as_planted(year: Year, made: figures.Figures) -> bool:
    """Whether all that are planted as ineligible, and nobody else, are found so, where no answer is missing."""
    wrong = [
        case_no
        for case_no, finding in made.findings.items()
        if finding["outcome"] != "incomplete"
        and (finding["outcome"] == "ineligible") != (year.households[case_no].kind in INELIGIBLE)
        and not (year.households[case_no].corrected and year.store.case(case_no).round == 1)
    ]
    planted = sum(year.households[case_no].kind in INELIGIBLE for case_no in made.findings)
    print(f"planted as ineligible: {planted:,} of the cases with a finding; found otherwise: {len(wrong):,}")
    return not wrong


def _table(head: tuple[str, str, str], rows: list[tuple[str, str, str]]) -> None:
    width = max(len(row[0]) for row in rows)
    for name, run_, city in (head, *rows):
        print(f"{name:{width}}  {run_:>22}  {city:>22}".rstrip())
