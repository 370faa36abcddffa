"""What a year's run came to: counters of the store and the departments beside the reference city's figures."""

from __future__ import annotations

import csv
import io
import sqlite3
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import text

from exchange.cases.case import Case
from exchange.cases.states import CaseState
from exchange.cases.statistics import ACCEPTED, CARRIED, COMPLETED, FOUND, OPEN, Counted, What, count
from tests.rigs.household_codes import codes
from tests.scale.year import REGION, YEAR, Year
from tests.second_program.program import APPLICATION, SecondProgram


@dataclass
class Figures:
    """What is in the store at the end: `counts` are those of `exchange case statistics`."""

    counts: Mapping[What, Counted]
    more: Counter[str] = field(default_factory=Counter)
    saved_fen: int = 0
    findings: dict[str, dict[str, Any]] = field(default_factory=dict)

    def of(self, what: str, name: str = "") -> Counted:
        return self.counts.get(What("household", what, name), Counted())


def counted(year: Year) -> Figures:
    """Read every case of the store."""
    made = Figures(count(year.store.rows(*CaseState), YEAR, {}))
    for row in year.store.rows(*CaseState):
        case = year.store.case(row.case_no)
        made.more["cases with late answers"] += bool(case.late)
        made.more["cases asked again after an objection"] += row.round > 1
        made.more["cases with an objection upheld"] += row.round > 1 and row.outcome != "ineligible"
        if case.finding:
            made.findings[row.case_no] = _told(case)
        if row.completed_on and row.completed_on.year == YEAR:
            made.more["cases decided after their last day"] += year.overdue(row)
            if row.outcome == "ineligible":
                made.saved_fen += 12 * year.households[row.case_no].claimed_fen
    return made


def _told(case: Case) -> dict[str, Any]:
    """The newest finding in the form of the second program."""
    assert case.finding
    values = case.finding.values
    missing = ("/".join(each.question_id.split("/")[1:3]) for each in case.finding.missing)
    return {
        "outcome": case.finding.outcome,
        "members": int(values["members"]) if values else None,
        "aid_fen": int(Decimal(values["aid"]) * 100) if values else None,
        "reasons": sorted([*codes(reason.text for reason in case.finding.reasons), *missing]),
    }


def lines(year: Year, made: Figures, size: float) -> list[tuple[str, str, str]]:
    """Each figure: what it is, what the run came to, and the reference city's at that size."""
    seed = year.seed
    completed, ineligible = made.of(COMPLETED), made.of(FOUND, "ineligible")

    def both(what: str, run: Counted, cases: float, persons: float) -> tuple[str, str, str]:
        return f"{what}: cases (persons)", _pair(run.cases, run.persons), _pair(cases * size, persons * size)

    working = len({home.day for home in year.households.values() if home.day.year == YEAR})
    saved = made.saved_fen / 100
    outcomes = [(what.name, each) for what, each in made.counts.items() if what.what == FOUND]
    return [
        both("accepted", made.of(ACCEPTED), seed.accepted, seed.accepted_persons),
        ("carried over: cases", f"{made.of(CARRIED).cases:,}", f"≥ {(seed.completed - seed.accepted) * size:,.0f}"),
        both("completed", completed, seed.completed, seed.completed_persons),
        ("open at the end: cases", f"{made.of(OPEN).cases:,}", ""),
        both("ineligible", ineligible, seed.ineligible, seed.ineligible_persons),
        ("ineligible of completed", _share(ineligible.cases, completed.cases), "14.24 %"),
        ("the same, of persons", _share(ineligible.persons, completed.persons), "16.13 %"),
        ("money saved, CNY", f"{saved:,.0f}", f"{seed.saved_yuan * size:,.0f}"),
        ("money saved a case, CNY", f"{saved / max(1, ineligible.cases):,.0f}", "12,549"),
        ("departments that answered", str(sum(each.answered > 0 for each in year.departments.values())), "28 units"),
        ("questions", f"{year.questions.sent:,}", f"{7150 * 365 * size:,.0f}"),
        ("questions a day", f"{year.questions.sent / 365:,.0f}", f"{7150 * size:,.0f}"),
        ("questions a working day", f"{year.questions.sent / max(1, working):,.0f}", ""),
        *((f"completed and found {name}", _pair(each.cases, each.persons), "") for name, each in outcomes),
        *((what, f"{number:,}", "") for what, number in made.more.items()),
        *((f"answers that were {fate}", f"{number:,}", "") for fate, number in year.fates.most_common()),
        *((f"answered by persons: {status}", f"{number:,}", "") for status, number in _by_person(year).most_common()),
        *((f"applications refused: {code}", f"{number:,}", "") for code, number in year.refused.most_common()),
    ]


def _pair(cases: float, persons: float) -> str:
    return f"{cases:,.0f} ({persons:,.0f})"


def _by_person(year: Year) -> Counter[str]:
    return sum((each.by_person for each in year.departments.values()), Counter())


def _share(part: int, whole: int) -> str:
    return f"{100 * part / max(1, whole):.2f} %"


def differences(year: Year, made: Figures, home: Path) -> dict[str, tuple[Any, Any]]:
    """The findings on which the second program differs; it reads the departments' databases and the applications."""
    city = home / "city"
    write_applications(year, city)
    missing: dict[tuple[str, str, int], tuple[int, str]] = {}
    for each in year.departments.values():
        for question_id, why in each.unanswerable().items():
            case_no, item, number, round_ = question_id.rsplit("/", 3)
            missing[case_no, item, int(number)] = (int(round_), why)
    with closing(SecondProgram("household")) as program:
        program.read_city(city)
        rows = ((*place, why) for place, (_, why) in missing.items())
        program.add("missing", ("case_no", "item", "number", "why"), rows)
        second = program.findings()
    return {no: (one, second.get(no)) for no, one in made.findings.items() if second.get(no) != one}


def write_applications(year: Year, city: Path) -> None:
    """The file of applications, as the city's office has it."""
    made = io.StringIO()
    rows = csv.writer(made)
    rows.writerow(APPLICATION)
    for each in year.households.values():
        for n, (party, name) in enumerate(zip(each.ids, each.names, strict=True), 1):
            rows.writerow((each.case_no, "household", REGION, each.day, party, name, f"{each.case_no}-{n}"))
    (city / "applications").mkdir(exist_ok=True)
    (city / "applications" / "civil-affairs.csv").write_text(made.getvalue(), "utf-8")


def sizes(year: Year, home: Path) -> dict[str, int]:
    """The bytes of the asker's database, and of all departments' together."""
    found = {"departments": sum(_sqlite(home / "city" / f"{name}.db") for name in year.departments)}
    url = year.store.engine.url
    if url.get_backend_name() == "sqlite":
        return {"asker": _sqlite(Path(str(url.database))), **found}
    with year.store.engine.connect() as connection:
        asker = connection.scalar(text("SELECT pg_database_size(current_database())"))
    return {"asker": int(asker or 0), **found}


def _sqlite(path: Path) -> int:
    """The bytes of its files, once the write-ahead log is emptied into it."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return sum(each.stat().st_size for each in path.parent.glob(f"{path.name}*"))
