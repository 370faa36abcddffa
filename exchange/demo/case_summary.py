"""The planted cases for people: what came in, what came out, and one of them in plain words."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from exchange.cases.events import (
    CaseAmended,
    CaseAnswered,
    CaseAsked,
    CaseDecided,
    CaseEvent,
    CaseFinding,
    CaseFound,
    CaseObjected,
)
from exchange.cli.say import counted
from exchange.demo.worked_cases import WorkedCase

TOLD = "HH-15"
"""The case that is told in words."""


def show(console: Console, worked: Sequence[WorkedCase]) -> None:
    """Print the cases as a table, and the one in words."""
    table = Table("case", "who and what", title="\nQuestions across departments", title_justify="left", box=None)
    table.add_column("asked", justify="right")
    for name in ("finding", "decided"):
        table.add_column(name)
    for each in worked:
        mark = "[green]✓[/]" if each.right else "[red]✗[/]"
        asked = f"{len(each.case.questions)}" if each.case else ""
        table.add_row(each.planted.case_no, each.planted.story, asked, f"{_found(each)} {mark}", _decided(each))
    console.print(table)
    for each in worked:
        if each.planted.case_no == TOLD:
            console.print(f"\nCase {TOLD}, in plain words", style="italic")
            for line in _words(each):
                console.print(f"  {line}", highlight=False, markup=False)


def _found(each: WorkedCase) -> str:
    if each.case is None:
        return "not opened"
    if each.case.finding is None:
        return f"waits for {', '.join(sorted({asked.to for asked in each.case.awaited}))}"
    values = each.case.finding.values
    told = [f"{name} {values[name]}" for name in ("head", "aid") if name in values]
    return ", ".join([each.case.finding.outcome.replace("_", " "), *told, *filter(None, [values.get("failed", "")])])


def _decided(each: WorkedCase) -> str:
    if each.case and each.case.decision:
        return each.case.decision.outcome
    return "" if each.case is None or each.case.finding is None else "a person looks"


def _words(each: WorkedCase) -> list[str]:
    assert each.case is not None
    parties = len(each.case.parties)
    found = [f"{parties} people apply for aid; the rules and limits are those of {each.case.day}. All have signed."]
    answers = 0
    for event in each.history:
        answers += isinstance(event, CaseAnswered)
        if not isinstance(event, CaseAnswered):
            found += _of(event, answers)
    return found


def _of(event: CaseEvent, answers: int) -> list[str]:
    """The event in words, if it is one of those that matter to the parties."""
    match event:
        case CaseAsked():
            asked = event.questions
            items = ", ".join(dict.fromkeys(each.item for each in asked))
            departments = counted(len({each.to for each in asked}), "department")
            return [f"Round {event.round}: {len(asked)} questions go to {departments}, about {items}."]
        case CaseFound() | CaseAmended():
            return [f"After {answers} answers, the finding is: {event.finding.outcome}.", *_reasons(event.finding)]
        case CaseObjected():
            return [f"They object: {event.reason} Only this is asked again: {', '.join(event.items)}."]
        case CaseDecided():
            return [f"A person ({event.who.role}) decides on the finding: {event.outcome}."]
    return []


def _reasons(finding: CaseFinding) -> list[str]:
    lines = []
    for reason in finding.reasons:
        departments = ", ".join(sorted({each.department for each in reason.rests_on}))
        days = ", ".join(sorted({str(each.data_as_of) for each in reason.rests_on if each.data_as_of}))
        lines.append(f"  - {reason.text} (answered by {departments}; data of {days})")
    return lines
