"""What the commands of cases share: the department's cases, who acts, and what everybody has to give."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import click

from exchange.cases.case import Case
from exchange.cases.caseload import Caseload, caseload
from exchange.cases.events import Who
from exchange.cli.options import today
from exchange.connect import load
from exchange.grants.desk import operator
from exchange.settings import Settings
from exchange.workdays import read_calendar

department_argument = click.argument("department")
case_argument = click.argument("case_no")
role_option = click.option("--role", required=True, help="The role in which you act, such as street-office.")
reason_option = click.option("--reason", required=True, help="Why; the parties can read it.")


@contextmanager
def desk(department: str) -> Iterator[Caseload]:
    """The department's cases, until the block ends."""
    settings = Settings()
    connector = load.load(settings.connectors, department)
    with caseload(connector, settings.home, read_calendar(settings.holidays), today()) as opened:
        yield opened


def who(role: str) -> Who:
    """The person at the keyboard, in that role."""
    return Who(person=operator(Settings()), role=role)


def act(department: str, case_no: str, done: Callable[[Caseload, Case, datetime], Case]) -> None:
    """Do something to the case as it is now, and say where it stands then."""
    with desk(department) as its:
        case = done(its, its.store.case(case_no), datetime.now(UTC))
    click.echo(f"Case {case.case_no} is {case.state}.")
