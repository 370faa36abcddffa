"""The row that the store keeps of a case: what lists and statistics need of the fold of its events; pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from sqlalchemy import RowMapping

from exchange.cases.case import Case
from exchange.cases.clocks import Stop
from exchange.cases.states import CaseState


@dataclass(frozen=True)
class CaseRow:
    """A case without its history. `awaited`: how many answers of these departments are to come, `late` of them late.

    `outcome` and `numbers` are those of the newest finding, `decision` is the newest one. `completed_on`: the day of
    the first one, because a case that is decided anew after an objection was completed before.
    """

    case_no: str
    type: str
    region: str
    day: date
    year: int
    opened_on: date
    persons: int
    state: CaseState
    round: int
    awaited: int
    departments: tuple[str, ...]
    late: int
    stops: tuple[Stop, ...]
    outcome: str | None
    numbers: Mapping[str, str]
    decision: str | None
    completed_on: date | None
    closed_on: date | None
    next_step: str | None
    next_day: date | None
    last_event: int


def row_of(case: Case) -> CaseRow:
    """What the row of the case says."""
    awaited = case.awaited
    return CaseRow(
        case_no=case.case_no,
        type=case.type,
        region=case.region,
        day=case.day,
        year=case.year,
        opened_on=case.opened_on,
        persons=len(case.parties),
        state=case.state,
        round=case.round,
        awaited=len(awaited),
        departments=tuple(dict.fromkeys(asked.to for asked in awaited)),
        late=sum(asked.question_id in case.late for asked in awaited),
        stops=tuple(case.stops.values()),
        outcome=case.finding.outcome if case.finding else None,
        numbers=case.finding.values if case.finding else {},
        decision=case.decision.outcome if case.decision else None,
        completed_on=case.completed_on,
        closed_on=case.closed_on,
        next_step=case.next_step,
        next_day=case.next_day,
        last_event=case.last,
    )


def columns(case: Case) -> dict[str, Any]:
    """The row as the table has it, besides the digest."""
    row = row_of(case)
    return {
        **vars(row),
        "departments": _text(row.departments),
        "stops": _text([asdict(stop) for stop in row.stops]),
        "numbers": _text(row.numbers),
    }


def read_row(there: RowMapping) -> CaseRow:
    """The row that the table has; CaseStore.verify compares it with the history."""
    stops = [
        Stop(date.fromisoformat(each["since"]), date.fromisoformat(each["until"]) if each["until"] else None)
        for each in json.loads(there["stops"])
    ]
    own: dict[str, Any] = {name: value for name, value in there.items() if name != "digest"}
    read = {
        "state": CaseState(there["state"]),
        "departments": tuple(json.loads(there["departments"])),
        "stops": tuple(stops),
        "numbers": json.loads(there["numbers"]),
    }
    return CaseRow(**own | read)


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
