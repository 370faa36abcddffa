"""Makes requests from what people wrote: either all of them, or none and every mistake with its place."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from exchange.contract.edit import entry
from exchange.contract.file import read_file
from exchange.contract.load import examine
from exchange.contract.model import Contract, Grant
from exchange.contract.period import city_day
from exchange.document import yaml as documents
from exchange.document.problem import ContractError, Problem
from exchange.errors import ConfigError
from exchange.grants.life import Actor, Request, Rules, submit
from exchange.printable import printable

_ID_LENGTH = 100


class RequestMistakesError(ConfigError):
    """A request has mistakes; none of them was filed.

    `rejected`: requests for closed subjects, which must be filed all the same, to show later who asked for them.
    """

    code = "grant-request"
    remedy = "correct it, and request all of it again"
    rejected: Sequence[Request] = ()


@dataclass(frozen=True)
class Draft:
    """What someone wrote: values of a grant, named as in the contract file, with the line of each.

    `place` is how messages call it. `renews`: the values are those of the existing grant with that id.
    """

    values: Mapping[str, Any]
    place: str = ""
    lines: Mapping[tuple[str | int, ...], int] = field(default_factory=dict)
    renews: bool = False


def renewal(contract: Contract, grant_id: str, until: date, actor: Actor) -> Draft:
    """The grant as it is to go on, until that day; ConfigError if it is not the actor's, or lasts longer."""
    found = next((grant for grant in contract.grants if grant.id == grant_id), None)
    if found is None:
        raise ConfigError(f"grant {grant_id} is not in the contract file", remedy="request a new one")
    if until <= found.until:
        raise ConfigError(f"grant {grant_id} lasts until {found.until} as it is", remedy="give a later day")
    if found.reader != actor.department:
        raise ConfigError(f"grant {grant_id} is {found.reader}'s", remedy=f"let {found.reader} ask")
    return Draft(entry(found.model_copy(update={"until": until})), renews=True)


def propose(
    drafts: Sequence[Draft],
    contract: Path,
    actor: Actor,
    now: datetime,
    authority: str,
    first_number: int,
    open_request: Callable[[str, str], Request | None],
) -> list[Request]:
    """The requests, numbered from `first_number`; the contract, as it is now, could take each of them up.

    The reader is the actor's department. The grant gets an id of its own: `<reader>.<subject's name>.<number>`, with a
    suffix if the contract already has that id. Raises RequestMistakesError with every mistake of every draft, and with
    the requests for closed subjects; ContractError if the contract itself has mistakes.
    """
    before = documents.read(read_file(contract))
    base = examine(contract, city_day(now), before)
    if base.contract is None:
        raise ContractError(str(contract), base.problems)
    taken = {grant.id for grant in base.contract.grants}
    values = [_named(draft, actor, number, taken) for number, draft in enumerate(drafts, first_number)]
    renewed = {value["id"] for value, draft in zip(values, drafts, strict=True) if draft.renews}
    kept = [grant for grant in before.value.get("grants") or [] if grant["id"] not in renewed]
    check = examine(contract, city_day(now), _with(before, kept, values, drafts))
    places = [f"{draft.place}{value.get('subject', 'no subject')}" for draft, value in zip(drafts, values, strict=True)]
    mistakes = list(_mistakes(check.problems, places, len(kept)))
    requests: list[Request] = []
    for number, (draft, value) in enumerate(zip(drafts, values, strict=True), first_number):
        if check.contract is None:
            break
        try:
            asked = Grant.model_validate(value)
            if pending := open_request(asked.reader, asked.subject):
                message = f"request {pending.number} of {asked.reader} for it is not decided yet"
                raise RequestMistakesError(message, remedy=f"see `exchange grant show {pending.number}`")
            rules = Rules(authority, check.contract.subject(asked.subject).share)
            requests.append(submit(number, asked, actor, now, rules, renews=draft.renews))
        except ConfigError as error:
            mistakes.append(f"{places[number - first_number]}: {error}")
    if mistakes:
        told = "".join(f"\n  {printable(mistake, '')}" for mistake in mistakes)
        refusal = RequestMistakesError(f"nothing was requested:{told}")
        refusal.rejected = list(_for_closed(drafts, base.contract, actor, now, authority, first_number))
        raise refusal
    return requests


def _for_closed(
    drafts: Sequence[Draft], contract: Contract, actor: Actor, now: datetime, authority: str, number: int
) -> Iterator[Request]:
    """Those of the drafts that are valid requests for closed subjects, numbered from `number`."""
    closed = {subject.id for subject in contract.subjects if subject.share == "closed"}
    for draft in drafts:
        if str(draft.values.get("subject")) in closed:
            with suppress(ValidationError, ConfigError):
                asked = Grant.model_validate(_named(draft, actor, number, {grant.id for grant in contract.grants}))
                yield submit(number, asked, actor, now, Rules(authority, "closed"))
                number += 1


def _named(draft: Draft, actor: Actor, number: int, taken: Collection[str]) -> dict[str, Any]:
    values = {**draft.values, "reader": actor.department}
    if not draft.renews:
        name = str(values.get("subject", "")).rpartition(".")[2]
        wish = f"{actor.department}.{name}"[:_ID_LENGTH] + f".{number}"
        values["id"] = next(
            id_ for id_ in (wish, *(f"{wish}-{n}" for n in range(2, len(taken) + 3))) if id_ not in taken
        )
    return values


def _with(
    before: documents.Document, kept: Sequence[Any], values: Sequence[Mapping[str, Any]], drafts: Sequence[Draft]
) -> documents.Document:
    """The contract's document as if the drafts followed the grants that are kept."""
    lines = {path: line for path, line in before.lines.items() if path[:1] != ("grants",)}
    for at, (value, draft) in enumerate(zip(values, drafts, strict=True), len(kept)):
        lines |= {("grants", at, *path): draft.lines.get(path, 0) for path in _paths(value)}
    return documents.Document({**before.value, "grants": [*kept, *values]}, None, lines)


def _paths(value: Any) -> Iterator[tuple[str | int, ...]]:
    yield ()
    inner = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list | tuple) else ()
    for key, part in inner:
        yield from ((key, *path) for path in _paths(part))


def _mistakes(problems: Sequence[Problem], places: Sequence[str], kept: int) -> Iterator[str]:
    """What the contract's check says about the drafts, each mistake with its place in what was written."""
    for problem in problems:
        if problem.severity == "error":
            found = re.fullmatch(r"grants\[(\d+)\]\.?(.*)", problem.path)
            at = int(found[1]) - kept if found else -1
            place = f"{places[at]}{': ' + found[2] if found and found[2] else ''}" if at >= 0 else problem.path
            line = f"line {problem.line}, " if problem.line and at >= 0 else ""
            yield f"{line}{place}: {problem.message}" + (f" — {problem.remedy}" if problem.remedy else "")
