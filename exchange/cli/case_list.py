"""`exchange case list` and `statistics`: all cases of a department at once, from what the store keeps of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from exchange.cases.case_row import CaseRow
from exchange.cases.caseload import Caseload
from exchange.cases.states import CaseState
from exchange.cases.statistics import COMPLETED, What, count
from exchange.cli.case_desk import department_argument, desk
from exchange.cli.options import output_option, show_json, today
from exchange.cli.say import counted
from exchange.cli.table import table
from exchange.workdays import Due


@click.command("list")
@department_argument
@click.option("--state", "states", type=click.Choice([str(s) for s in CaseState]), multiple=True, help="Only these.")
@output_option
def list_(department: str, states: tuple[str, ...], output: str) -> None:
    """List the cases of DEPARTMENT: where each stands, whom it waits for, and until when it is to be decided.

    The time for the whole stands still while a unit outside of the city is awaited. `?`: public holidays of that year
    are not known yet, and may move the day.
    """
    with desk(department) as its:
        wanted = [CaseState(state) for state in states] or list(CaseState)
        found = [summary(its, row) for row in its.store.rows(*wanted)]
    if output == "json":
        show_json(found)
        return
    names = ("case_no", "type", "state", "round", "persons", "waits_for", "due", "overdue", "outcome")
    table([name.replace("_", " ") for name in names], [[shown(each[name]) for name in names] for each in found])
    click.echo(counted(len(found), "case"))


@click.command()
@department_argument
@click.option("--year", type=int, help="The year of acceptance or completion; absent: all years.")
@output_option
def statistics(department: str, year: int | None, output: str) -> None:
    """Count the cases and persons of DEPARTMENT, per type: accepted, completed, and how these were found and decided.

    Carried over: accepted in an earlier year and not completed in it. A case is completed when it is first decided.
    Percentages are those of the completed cases, and of their persons. Sums are of the findings' values that the case
    type names under `sums`.
    """
    with desk(department) as its:
        sums = {name: loaded.case_type.sums for name, loaded in its.types.items()}
        found = count(its.store.rows(*CaseState), year, sums)
    rows = []
    for what, one in found.items():
        whole = found.get(What(what.type, COMPLETED))
        of = whole if whole and (what.name or what.what == COMPLETED) else None
        row: Mapping[str, Any] = {
            **what._asdict(),
            "cases": one.cases,
            "cases_percent": of and f"{100 * one.cases / of.cases:.2f}",
            "persons": one.persons,
            "persons_percent": of and f"{100 * one.persons / of.persons:.2f}",
            "sums": {name: str(value) for name, value in one.sums.items()},
        }
        rows.append(row)
    if output == "json":
        show_json(rows)
        return
    table(
        ("type", "what", "cases", "%", "persons", "%", "sums"),
        [
            (
                row["type"],
                f"{row['what']} {row['name']}".rstrip(),
                row["cases"],
                row["cases_percent"] or "",
                row["persons"],
                row["persons_percent"] or "",
                ", ".join(f"{name} {value}" for name, value in row["sums"].items()),
            )
            for row in rows
        ],
    )


def summary(its: Caseload, row: CaseRow) -> dict[str, Any]:
    """What is said of a case, without what happened to it."""
    due = its.due(row, today())
    return {
        "case_no": row.case_no,
        "type": row.type,
        "region": row.region,
        "day": row.day,
        "state": row.state,
        "round": row.round,
        "persons": row.persons,
        "due": due,
        "overdue": due is not None and due.day < today(),
        "waits_for": _waits(row),
        "outcome": row.outcome,
        "decision": row.decision,
    }


def shown(value: object) -> object:
    """A cell of the table."""
    if isinstance(value, Due):
        return f"{value.day}{'?' if value.provisional else ''}"
    return "" if value is None or value is False else "yes" if value is True else value


def _waits(row: CaseRow) -> str:
    """Whom the case waits for, in words."""
    late = f", {row.late} late" if row.late else ""
    return f"{counted(row.awaited, 'answer')} of {', '.join(row.departments)}{late}" if row.awaited else ""
