"""Applications as people hand them in: a CSV file with a row for each person of each case."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from exchange.cases.events import Party
from exchange.errors import ConfigError

COLUMNS = ("case_no", "type", "region", "day", "party_id", "name", "authorisation")


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
    reader = csv.DictReader(lines, restkey="", strict=True)
    found: dict[str, Application] = {}
    last = ""
    try:
        if missing := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
            raise ApplicationsError(f"line 1: there is no column {', '.join(missing)}")
        for row in reader:
            line, case_no = reader.line_num, row["case_no"]
            if None in row.values() or "" in row:
                raise ApplicationsError(f"line {line}: it has not as many values as there are columns")
            if case_no in found and case_no != last:
                raise ApplicationsError(f"line {line}: its case has rows further up, which end before")
            before = found.get(case_no)
            parties: Sequence[Party] = before.parties if before else ()
            same = before is None or (before.type, before.region, str(before.day)) == (
                row["type"],
                row["region"],
                row["day"],
            )
            if not same:
                raise ApplicationsError(f"line {line}: type, region and day are not those of the case's first row")
            party = Party(
                number=len(parties) + 1,
                party_id=row["party_id"],
                name=row["name"],
                authorisation=row["authorisation"],
            )
            at = before.line if before else line
            day = _day(row["day"], line)
            found[case_no] = Application(at, case_no, row["type"], row["region"], day, (*parties, party))
            last = case_no
    except csv.Error as error:
        raise ApplicationsError(f"after line {reader.line_num}: it is not CSV") from error
    except UnicodeDecodeError as error:
        raise ApplicationsError("it is not UTF-8") from error
    return list(found.values())


def _day(text: str, line: int) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ApplicationsError(f"line {line}: its day is not one, such as 2026-01-31") from error
