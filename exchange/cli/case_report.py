"""`exchange case report`: a case as a page to print."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import click

from exchange.cases import case_page_file
from exchange.cases.case_page import page
from exchange.cases.store import CaseUnknownError
from exchange.cli.case_desk import case_argument, department_argument, desk
from exchange.cli.options import today
from exchange.contract.load import load as load_contract
from exchange.contract.model import Title
from exchange.errors import ConfigError
from exchange.settings import Settings


@click.command()
@department_argument
@case_argument
@click.option(
    "--out",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file, which ends in .html or .pdf; only you can read it.",
)
def report(department: str, case_no: str, out: Path) -> None:
    """Write one case of DEPARTMENT as a page for its parties and the file.

    It says what was asked of whom, each reason of the finding with the answers on which it rests, what is missing, the
    decision, and how to contest it. It has names and numbers of persons.
    """
    if out.suffix not in case_page_file.SUFFIXES:
        raise click.BadParameter("the file's name ends in .html or .pdf", param_hint="--out")
    with desk(department) as its:
        history = its.store.history(case_no)
        if not history:
            raise CaseUnknownError(f"there is no case {case_no}")
        loaded = its.types.get(its.store.case(case_no).type)
        html = page(history, loaded.case_type if loaded else None, _titles(), its.calendar, today())
    case_page_file.write(out, html)
    click.echo(f"{out} is written. It has personal data: only you can read it.")


def _titles() -> dict[str, Title]:
    """Those of the departments, if the contract is at hand."""
    with suppress(ConfigError):
        contract = load_contract(Settings().contract, today()).contract
        return {each.id: each.title for each in contract.departments}
    return {}
