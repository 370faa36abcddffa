"""`exchange case open` and `import`: applications become cases."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import click

from exchange.cases import batch
from exchange.cases.batch import Application
from exchange.cases.case import Case
from exchange.cases.caseload import Caseload
from exchange.cases.events import Who
from exchange.cases.store import CaseExistsError
from exchange.cli.case_desk import case_argument, department_argument, desk, role_option, who
from exchange.cli.options import today
from exchange.cli.say import counted, say
from exchange.errors import ExchangeError


@click.command("open")
@department_argument
@case_argument
@click.option("--type", "type_", required=True, help="The case type: the name of its file.")
@click.option("--region", required=True, help="Code of the region whose values count, such as 4401.")
@click.option(
    "--day",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="DAY",
    help="Day whose rules and values count (YYYY-MM-DD); absent: today.",
)
@role_option
def open_(department: str, case_no: str, type_: str, region: str, day: datetime | None, role: str) -> None:
    """Open one case of DEPARTMENT, with the persons that standard input names.

    A line for each person, as CSV: number,name,authorisation. They are not taken from the command line, which the
    shell's history and the list of processes show.
    """
    if sys.stdin.isatty():
        say("One person a line: number,name,authorisation. Then Ctrl-D.", err=True)
    with click.open_file("-", encoding="utf-8-sig") as lines:
        parties = batch.persons(lines)
    with desk(department) as its:
        one = Application(1, case_no, type_, region, day.date() if day else today(), parties)
        case = _opened(its, one, who(role))
    click.echo(f"Case {case.case_no} is {case.state}: {counted(len(case.parties), 'person')}.")


@click.command("import")
@department_argument
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@role_option
def import_(department: str, file: str, role: str) -> None:
    """Open the cases of DEPARTMENT that are in FILE, a CSV with a row for each person (`-`: standard input).

    Columns: case_no, type, region, day, party_id, name, authorisation. Cases that are there already are left alone, so
    that the same file can be given again. If a case cannot be opened, the others are, and the exit status is not 0.
    """
    opened, there, person = 0, 0, who(role)
    refused: list[ExchangeError] = []
    try:
        with click.open_file(file, encoding="utf-8-sig") as lines:
            found = batch.applications(lines)
    except OSError as error:
        raise batch.ApplicationsError(f"{file} cannot be read: {error.strerror}", remedy="name a file") from error
    with desk(department) as its:
        for one in found:
            try:
                _opened(its, one, person)
                opened += 1
            except CaseExistsError:
                there += 1
            except ExchangeError as error:
                refused.append(error)
                say(f"line {one.line}: {error}", fg="red", err=True)
    click.echo(f"{counted(opened, 'case')} opened, {there} there already, {len(refused)} refused")
    if refused:
        sys.exit(refused[0].exit_status)


def _opened(its: Caseload, one: Application, person: Who) -> Case:
    return its.acts.open(one.case_no, one.type, one.region, one.day, one.parties, person, datetime.now(UTC))
