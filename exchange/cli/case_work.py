"""`exchange case show`, `decide` and the others: what people do with the cases of their department."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from functools import partial
from importlib.resources import files

import click

from exchange.cases.case_row import row_of
from exchange.cases.events import CaseAmended, CaseFinding, CaseFound
from exchange.cases.finding import again
from exchange.cases.rules import kept
from exchange.cases.states import CaseState
from exchange.cases.store import CaseHistoryError
from exchange.cli.case_desk import act, case_argument, department_argument, desk, reason_option, role_option, who
from exchange.cli.case_list import shown, summary
from exchange.cli.case_words import words
from exchange.cli.options import output_option, say_time, show_json
from exchange.cli.say import counted, say


@click.command()
@department_argument
@case_argument
@output_option
def show(department: str, case_no: str, output: str) -> None:
    """Show one case of DEPARTMENT: what happened to it, what was found, and on which answers each reason rests."""
    with desk(department) as its:
        history, case = its.store.history(case_no), its.store.case(case_no)
        told = summary(its, row_of(case))
    if output == "json":
        more = {
            "awaited": [asked.question_id for asked in case.awaited],
            "late": sorted(case.late),
            "finding": case.finding and case.finding.model_dump(mode="json"),
            "finding_number": case.finding_event or None,
            "history": [event.model_dump(mode="json") for event in history],
        }
        show_json({**told, **more})
        return
    due = f"; to be decided until {shown(told['due'])}" if told["due"] else ""
    waits = f"it waits for {told['waits_for']}" if told["waits_for"] else "nothing is awaited"
    say(f"Case {case.case_no} ({case.type}) is {case.state}{due}; {waits}")
    for number, event in enumerate(history, 1):
        by = f"{event.who.person} ({event.who.role})".lstrip()
        say(f"  {say_time(event.time)}  {event.kind}  {by}  {words(event)}".rstrip())
        if isinstance(event, CaseFound | CaseAmended):
            _say_finding(number, event.finding)


@click.command()
@department_argument
@case_argument
@click.argument("outcome")
@click.option(
    "--finding", type=int, required=True, help="The number of the finding that you have read, as `show` says."
)
@reason_option
@role_option
def decide(department: str, case_no: str, outcome: str, finding: int, reason: str, role: str) -> None:
    """Decide a case on its finding: OUTCOME in a word, and why. The role is that which the case type names.

    Refused if there is a newer finding than the one that you read.
    """
    act(department, case_no, lambda its, case, now: its.acts.decide(case, who(role), outcome, [reason], now, finding))


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
    """Make the finding anew, or make it at last, of all answers that are there now.

    An answer that is still awaited has to be late. The finding is incomplete then, and names what is missing; a person
    decides.
    """
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
@click.argument("of", type=click.Choice(["question", "answer"]))
def schema(of: str) -> None:
    """Print the Avro schema of the subject `question` of a department that asks, or `answer` of one that answers."""
    click.echo((files("exchange.cases") / f"{of}.avsc").read_text("utf-8"), nl=False)


def _say_finding(number: int, finding: CaseFinding) -> None:
    say(
        f"      finding {number}: {finding.outcome}"
        + "".join(f", {name} {value}" for name, value in finding.values.items())
    )
    for reason in finding.reasons:
        on = "; ".join(
            f"{each.question_id} of {each.department}, as of {_day(each.data_as_of)}" for each in reason.rests_on
        )
        say(f"      - {reason.text} ({on})")
    for missing in finding.missing:
        say(f"      - missing: {missing.question_id} of {missing.department}, {missing.why.replace('_', ' ')}")


def _day(day: date | None) -> str:
    return str(day) if day else "no day given"
