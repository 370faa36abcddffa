"""Applications as people hand them in: CSV with a row for each person, of many cases or of one."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from exchange.cases.events import Party
from exchange.errors import ConfigError

PERSON = ("party_id", "name", "authorisation")
COLUMNS = ("case_no", "type", "region", "day", *PERSON)


class ApplicationsError(ConfigError):
    """A file of applications cannot be read."""

    code = "applications"
    remedy = f"write CSV in UTF-8 with the columns {', '.join(COLUMNS)}, the rows of one case one below the other"


@dataclass(frozen=True)
class Application:
    """A case to open; `line` is that of its first person."""

    line: int
    case_no: str
    type: str
    region: str
    day: date
    parties: tuple[Party, ...]


def applications(lines: Iterable[str]) -> list[Application]:
    """The cases of a CSV file, in its order; raises ApplicationsError, which names the line and quotes no value."""
    found: dict[str, Application] = {}
    last = ""
    for line, row in _rows(lines):
        case_no = row["case_no"]
        if case_no in found and case_no != last:
            raise ApplicationsError(f"line {line}: its case has rows further up, which end before")
        before = found.get(case_no)
        parties: Sequence[Party] = before.parties if before else ()
        day = _day(row["day"], line)
        if before and (before.type, before.region, before.day) != (row["type"], row["region"], day):
            raise ApplicationsError(f"line {line}: type, region and day are not those of the case's first row")
        at = before.line if before else line
        every = (*parties, _party(len(parties) + 1, row))
        found[case_no] = Application(at, case_no, row["type"], row["region"], day, every)
        last = case_no
    return list(found.values())


def persons(lines: Iterable[str]) -> tuple[Party, ...]:
    """The persons of one case, one on each line: a CSV without a first line of names; raises ApplicationsError."""
    try:
        return tuple(_party(number, row) for number, (_, row) in enumerate(_rows(lines, PERSON), start=1))
    except ApplicationsError as error:
        raise ApplicationsError(error.message, remedy="give each person a line: number,name,authorisation") from error


def _rows(lines: Iterable[str], names: Sequence[str] | None = None) -> Iterator[tuple[int, dict[str, str]]]:
    """Each row and its line; the first line names the columns, if `names` do not."""
    reader = csv.DictReader(lines, names, restkey="", strict=True)
    try:
        if missing := [name for name in names or COLUMNS if name not in (reader.fieldnames or ())]:
            raise ApplicationsError(f"line 1: there is no column {', '.join(missing)}")
        for row in reader:
            if None in row.values() or "" in row:
                raise ApplicationsError(f"line {reader.line_num}: it has not as many values as there are columns")
            yield reader.line_num, row
    except csv.Error as error:
        raise ApplicationsError(f"after line {reader.line_num}: it is not CSV") from error
    except UnicodeDecodeError as error:
        raise ApplicationsError("it is not UTF-8") from error


def _party(number: int, row: Mapping[str, str]) -> Party:
    return Party(number=number, **{name: row[name] for name in PERSON})


def _day(text: str, line: int) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ApplicationsError(f"line {line}: its day is not one, such as 2026-01-31") from error
