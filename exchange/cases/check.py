"""Checks whether a case type makes sense: in itself, with the code beside it (which is not run), by the contract."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

from exchange.cases.case_type import CaseType, Dated, FindingRule, Item, Parameter
from exchange.contract.model import Contract
from exchange.contract.terms import Condition
from exchange.document.nearest import nearest
from exchange.document.problem import Path as Place
from exchange.errors import ConfigError


class Mistake(NamedTuple):
    """What is wrong at a place of the file, and what would be right."""

    place: Place
    message: str
    remedy: str


@dataclass(frozen=True)
class Parts:
    """The parts of a case type's file that are well-formed, by their place; `department` asks.

    `left_out`: the lists of which a part is not well-formed, so that what seems to be missing may be there.
    """

    department: str
    items: Mapping[Place, Item]
    parameters: Mapping[Place, Parameter]
    rules: Mapping[Place, FindingRule]
    left_out: frozenset[str]


def within_itself(parts: Parts) -> Iterator[Mistake]:
    """Names that are given twice or do not exist, and days on which not exactly one of several is in force."""
    first: dict[str, Place] = {}
    for place, item in parts.items.items():
        if first.setdefault(item.name, place) != place:
            yield Mistake((*place, "name"), f"item '{item.name}' is given twice", "rename or remove one of them")
    if "parameters" not in parts.left_out:
        yield from _names(parts)
    series: dict[str, dict[Place, Dated]] = {}
    for place, parameter in parts.parameters.items():
        series.setdefault(f"value of '{parameter.name}' in region {parameter.region}", {})[place] = parameter
    for what, values in series.items():
        yield from _one_each_day(values, what, with_gaps="parameters" not in parts.left_out)
    yield from _one_each_day(parts.rules, "rule", with_gaps="rules" not in parts.left_out)


def _names(parts: Parts) -> Iterator[Mistake]:
    """Parameters that items and rules name and that are not there."""
    known = {parameter.name for parameter in parts.parameters.values()}
    named: list[tuple[Place, Item | FindingRule]] = [*parts.items.items(), *parts.rules.items()]
    for place, part in named:
        for i, name in enumerate(part.parameters or ()):
            if name not in known:
                remedy = nearest(name, known) or "add it to `parameters`"
                yield Mistake((*place, "parameters", i), f"there is no parameter '{name}'", remedy)


def _one_each_day(parts: Mapping[Place, Dated], what: str, *, with_gaps: bool) -> Iterator[Mistake]:
    """Overlaps and gaps, each at the part that begins later."""
    in_order = sorted(parts.items(), key=lambda part: part[1].from_)
    last = in_order[0][1].until if in_order else None  # day on which one of those before holds; None: without end
    for place, part in in_order[1:]:
        begins = (*place, "from")
        if last is None or part.from_ <= last:
            end = "without end" if last is None else f"until {last}"
            yield Mistake(begins, f"another {what} holds {end}", "let one end on the day before the next begins")
        elif with_gaps and part.from_ - last > timedelta(days=1):
            message = f"there is no {what} from {last + timedelta(days=1)} to {part.from_ - timedelta(days=1)}"
            yield Mistake(begins, message, "say what holds on these days")
        last = None if last is None or part.until is None else max(last, part.until)


def on(day: date, case_type: CaseType) -> Iterator[Mistake]:
    """What a case of that day would lack, in whichever region."""
    lacking: dict[str, Mistake] = {}
    for region in sorted({parameter.region for parameter in case_type.parameters}) or [""]:
        try:
            case_type.in_force(day, region)
        except ConfigError as error:
            lacking[error.message] = Mistake((), error.message, error.remedy)
    yield from lacking.values()


def beside(folder: Path, rules: Mapping[Place, FindingRule]) -> Iterator[Mistake]:
    """Functions of rules that are not in the file that the rule names, read without running it."""
    for place, rule in rules.items():
        name, _, function = rule.python.partition(":")
        try:
            defined = _functions(folder, name)
        except OSError as error:
            yield Mistake((*place, "python"), f"{name}: {error.strerror}", "put the file beside the case type's")
            continue
        except (SyntaxError, ValueError, RecursionError) as error:
            line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
            yield Mistake((*place, "python"), f"{name} is not Python{line}", "correct it")
            continue
        if function not in defined:
            remedy = nearest(function, defined) or "define it there"
            yield Mistake((*place, "python"), f"{name} has no function {function}", remedy)


def _functions(folder: Path, name: str) -> set[str]:
    path = folder / name
    if path.resolve().parent != folder.resolve():
        raise FileNotFoundError(0, "is a link out of the folder")
    return {node.name for node in ast.parse(path.read_bytes()).body if isinstance(node, ast.FunctionDef)}


def under(contract: Contract, parts: Parts, today: date) -> Iterator[Mistake]:
    """Departments, subjects and grants that questions and answers need, and that the contract lacks from today on."""
    departments = {department.id for department in contract.departments}
    asker = parts.department
    if asker not in departments:
        yield Mistake((), f"department '{asker}' is not in the contract", nearest(asker, departments))
        return
    subjects = {subject.id for subject in contract.subjects}
    question = f"{asker}.question"
    if question not in subjects:
        yield Mistake(
            (),
            f"subject {question} is not in the contract",
            "add it, with the schema that `exchange case schema question` prints",
        )
    seen = set()
    for place, item in parts.items.items():
        asked, at = item.asks, (*place, "asks")
        if asked not in departments:
            yield Mistake(at, f"department '{asked}' is not in the contract", nearest(asked, departments))
        elif asked == asker:
            yield Mistake(at, "a department does not ask itself", "let the rule read its own tables")
        elif asked not in seen:
            seen.add(asked)
            answer = f"{asked}.answer"
            if answer not in subjects:
                yield Mistake(
                    at,
                    f"subject {answer} is not in the contract",
                    "add it, with the schema that `exchange case schema answer` prints",
                )
            for subject, reader in ((question, asked), (answer, asker)):
                if subject in subjects:
                    yield from _grants(contract, subject, reader, at, today)


def _grants(contract: Contract, subject: str, reader: str, place: Place, today: date) -> Iterator[Mistake]:
    """Each grant's `where` must let through what is for the reader, all of it and nothing else."""
    grants = [grant for grant in contract.grants if (grant.subject, grant.reader) == (subject, reader)]
    remedy = f"grant it with `where: {{to: {{eq: {reader}}}}}`"
    if not grants:
        yield Mistake(place, f"{subject} is not granted to {reader}", remedy)
    elif all(grant.until < today for grant in grants):
        yield Mistake(place, f"{subject} is no longer granted to {reader}", "renew the grant")
    for grant in grants:
        if grant.until >= today and grant.where != {"to": Condition(eq=reader)}:
            message = (
                f"grant {grant.id} does not give {reader} those records of {subject} that are for it, and no others"
            )
            yield Mistake(place, message, remedy)
