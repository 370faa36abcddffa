"""Applications from a CSV file: cases with their persons, or an error that names the line and quotes nothing."""

from __future__ import annotations

from datetime import date

import pytest

from exchange.cases.batch import ApplicationsError, applications
from exchange.cases.events import Party

HEAD = "case_no,type,region,day,party_id,name,authorisation"
FIRST = "C1,household,4401,2026-01-31,R1,王一,A-1"


def read(*lines: str, head: str = HEAD) -> object:
    return applications([f"{line}\n" for line in (head, *lines)])


def test_a_case_has_the_persons_of_its_rows_in_order() -> None:
    found = applications([f"{line}\n" for line in (HEAD, FIRST, FIRST.replace("R1,王一", "R2,王二"), f"C2{FIRST[2:]}")])
    assert [(each.line, each.case_no, each.day) for each in found] == [
        (2, "C1", date(2026, 1, 31)),
        (4, "C2", date(2026, 1, 31)),
    ]
    assert found[0].parties == (
        Party(number=1, party_id="R1", name="王一", authorisation="A-1"),
        Party(number=2, party_id="R2", name="王二", authorisation="A-1"),
    )


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([FIRST + ",more"], "line 2: it has not as many values"),
        (["C1,household"], "line 2: it has not as many values"),
        ([FIRST.replace("01-31", "02-30")], "line 2: its day is not one"),
        ([FIRST, FIRST.replace("4401", "4403")], "line 3: type, region and day"),
        ([FIRST, f"C2{FIRST[2:]}", FIRST], "line 4: its case has rows further up"),
        (['C1,"canary-7f3a'], "after line 1: it is not CSV"),
    ],
)
def test_a_file_with_a_mistake_is_refused_as_a_whole(lines: list[str], message: str) -> None:
    with pytest.raises(ApplicationsError, match=message) as caught:
        read(*lines)
    assert "canary" not in str(caught.value)


def test_the_day_of_a_case_can_be_written_in_two_ways() -> None:
    [case] = applications([f"{line}\n" for line in (HEAD, FIRST, FIRST.replace("2026-01-31", "20260131"))])
    assert (case.day, len(case.parties)) == (date(2026, 1, 31), 2)


def test_a_missing_column_is_named() -> None:
    with pytest.raises(ApplicationsError, match="there is no column authorisation"):
        read(FIRST, head=HEAD.removesuffix(",authorisation"))
