"""`exchange case list`, `show`, `decide` and the others: what people do with the cases of their department."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date
from functools import partial
from importlib.resources import files
from typing import Any

import click

from exchange.cases.case import Case
from exchange.cases.caseload import Caseload
from exchange.cases.events import CaseAmended, CaseFinding, CaseFound
from exchange.cases.finding import again
from exchange.cases.rules import kept
from exchange.cases.states import CaseState
from exchange.cases.store import CaseHistoryError
from exchange.cli.case_desk import act, case_argument, department_argument, desk, reason_option, role_option, who
from exchange.cli.options import output_option, say_time, show_json, today
from exchange.cli.say import counted, say
from exchange.cli.table import table
from exchange.contract.period import city_day
from exchange.workdays import Due

ACCEPTED, COMPLETED = "accepted", "completed"


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
        found = [_summary(its, its.store.case(case_no)) for case_no in its.store.in_states(*wanted)]
    if output == "json":
        show_json(found)
        return
    names = ("case_no", "type", "state", "round", "persons", "waits_for", "due", "overdue", "outcome")
    table([name.replace("_", " ") for name in names], [[_shown(each[name]) for name in names] for each in found])
    click.echo(counted(len(found), "case"))


@click.command()
@department_argument
@case_argument
@output_option
def show(department: str, case_no: str, output: str) -> None:
    """Show one case of DEPARTMENT: what happened to it, what was found, and on which answers each reason rests."""
    with desk(department) as its:
        history, case = its.store.history(case_no), its.store.case(case_no)
        summary = _summary(its, case)
    if output == "json":
        show_json({**summary, "history": [event.model_dump(mode="json") for event in history]})
        return
    due = f"; to be decided until {_shown(summary['due'])}" if summary["due"] else ""
    say(f"Case {case.case_no} ({case.type}) is {case.state}{due}; {_waits(case) or 'nothing is awaited'}")
    for event in history:
        say(f"  {say_time(event.time)}  {event.kind}  {event.who.person} ({event.who.role})".replace("   (", "  ("))
        if isinstance(event, CaseFound | CaseAmended):
            _say_finding(event.finding)


@click.command()
@department_argument
@case_argument
@click.argument("outcome")
@reason_option
@role_option
def decide(department: str, case_no: str, outcome: str, reason: str, role: str) -> None:
    """Decide a case on its finding: OUTCOME in a word, and why. The role is that which the case type names."""
    act(department, case_no, lambda its, case, now: its.acts.decide(case, who(role), outcome, [reason], now))


@click.command("object")
@department_argument
@case_argument
@click.option("--item", "items", multiple=True, required=True, help="What is contested; can be repeated.")
@reason_option
@role_option
def object_(department: str, case_no: str, items: Sequence[str], reason: str, role: str) -> None:
    """Record an objection: the contested items, and only these, are asked again."""
    act(department, case_no, lambda its, case, now: its.acts.object(case, who(role), items, reason, now))


@click.command()
@department_argument
@case_argument
@reason_option
@role_option
def amend(department: str, case_no: str, reason: str, role: str) -> None:
    """Make the finding anew, of all answers that are there now."""
    act(department, case_no, lambda its, case, now: its.acts.amend(case, who(role), reason, now))


@click.command()
@department_argument
@case_argument
@reason_option
@role_option
def close(department: str, case_no: str, reason: str, role: str) -> None:
    """Close a case; before a decision if its applicant withdraws it."""
    act(department, case_no, lambda its, case, now: its.acts.close(case, who(role), reason, now))


@click.command()
@department_argument
@output_option
def verify(department: str, output: str) -> None:
    """Check every case's history, and make every finding again from its answers and the rules of its day."""
    findings, differing = 0, []
    with desk(department) as its:
        events = its.store.verify_all()
        for case_no in its.store.in_states(*CaseState):
            made = again(its.store.history(case_no), partial(kept, its.store))
            findings += len(made)
            differing += [f"{case_no}: event {each.seq}" for each in made if not each.same]
    if output == "json":
        show_json({"events": events, "findings": findings, "differing": differing})
    else:
        click.echo(f"{counted(events, 'event')} as written, {counted(findings, 'finding')} made again")
    if differing:
        raise CaseHistoryError(f"made again, these findings are not what was written: {', '.join(differing[:10])}")


@click.command()
@department_argument
@click.option("--year", type=int, help="The year of acceptance or completion; absent: all years.")
@output_option
def statistics(department: str, year: int | None, output: str) -> None:
    """Count the cases and persons of DEPARTMENT: accepted, completed, and by what was decided, per type."""
    cases: Counter[tuple[str, str]] = Counter()
    persons: Counter[tuple[str, str]] = Counter()
    with desk(department) as its:
        for case_no in its.store.in_states(*CaseState):
            case = its.store.case(case_no)
            decided = case.decision
            counts = [(ACCEPTED, case.day)]
            if decided is not None:
                counts += [(what, city_day(decided.time)) for what in (COMPLETED, decided.outcome)]
            for what, day in counts:
                if year in (None, day.year):
                    cases[case.type, what] += 1
                    persons[case.type, what] += len(case.parties)
    rows = [(type_, what, cases[type_, what], persons[type_, what]) for type_, what in cases]
    if output == "json":
        show_json([dict(zip(("type", "what", "cases", "persons"), row, strict=True)) for row in rows])
        return
    table(("type", "what", "cases", "persons"), rows)


@click.command()
@click.argument("of", type=click.Choice(["question", "answer"]))
def schema(of: str) -> None:
    """Print the Avro schema of the subject `question` of a department that asks, or `answer` of one that answers."""
    click.echo((files("exchange.cases") / f"{of}.avsc").read_text("utf-8"), nl=False)


def _waits(case: Case) -> str:
    """Whom the case waits for, in words."""
    late = sum(asked.question_id in case.late for asked in case.awaited)
    who = ", ".join(dict.fromkeys(asked.to for asked in case.awaited))
    return f"{counted(len(case.awaited), 'answer')} of {who}" + (f", {late} late" if late else "") if who else ""


def _summary(its: Caseload, case: Case) -> dict[str, Any]:
    due = its.due(case, today())
    return {
        "case_no": case.case_no,
        "type": case.type,
        "region": case.region,
        "day": case.day,
        "state": case.state,
        "round": case.round,
        "persons": len(case.parties),
        "due": due,
        "overdue": due is not None and due.day < today(),
        "waits_for": _waits(case),
        "awaited": [asked.question_id for asked in case.awaited],
        "late": sorted(case.late),
        "outcome": case.finding.outcome if case.finding else None,
        "finding": case.finding and case.finding.model_dump(mode="json"),
        "decision": case.decision and case.decision.outcome,
    }


def _shown(value: object) -> object:
    """A cell of the table."""
    if isinstance(value, Due):
        return f"{value.day}{'?' if value.provisional else ''}"
    return "" if value is None or value is False else "yes" if value is True else value


def _say_finding(finding: CaseFinding) -> None:
    say(f"      {finding.outcome}" + "".join(f", {name} {value}" for name, value in finding.values.items()))
    for reason in finding.reasons:
        on = "; ".join(
            f"{each.question_id} of {each.department}, as of {_day(each.data_as_of)}" for each in reason.rests_on
        )
        say(f"      - {reason.text} ({on})")
    for missing in finding.missing:
        say(f"      - missing: {missing.question_id} of {missing.department}, {missing.why.replace('_', ' ')}")


def _day(day: date | None) -> str:
    return str(day) if day else "no day given"
