"""`exchange case queue` and `answer`: what people answer in the department that is asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime

import click

from exchange.cases.answering import person_queue
from exchange.cases.answering.answer_store import AnswerStore
from exchange.cases.answering.answer_tables import CAUSES
from exchange.cases.answering.items import Asker, askers
from exchange.cli.options import output_option, say_time, show_json
from exchange.cli.say import counted, say
from exchange.connect import load
from exchange.connect.database import Paths
from exchange.grants.desk import operator
from exchange.settings import Settings


@contextmanager
def _opened(settings: Settings, department: str) -> Iterator[tuple[AnswerStore, Sequence[Asker]]]:
    found = load.load(settings.connectors, department)
    with closing(AnswerStore(found, Paths(found.folder, settings.home))) as store:
        yield store, askers(found)


@click.command()
@click.argument("department")
@output_option
def queue(department: str, output: str) -> None:
    """List the questions that wait for a person of DEPARTMENT, the oldest first.

    They are those of items that people answer, and those whose number has another name in the department's records.
    """
    with _opened(Settings(), department) as (store, asking):
        waiting = person_queue.queued(store, asking)
    if output == "json":
        show_json(waiting)
        return
    for one in waiting:
        asked = one.question
        period = "" if asked.period_from is None else f", {asked.period_from} to {asked.period_until}"
        say(f"{asked.question_id}: {asked.item} of {asked.type}, for {one.asker}, due on {asked.due_on or 'no day'}")
        say(f"  {asked.party_id} {asked.party_name}{period}; {CAUSES[one.cause]}; since {say_time(one.queued_at)}")
    click.echo(counted(len(waiting), "question"))


@click.command()
@click.argument("department")
@click.argument("question_id")
@click.option("--found", multiple=True, metavar="NAME=VALUE", help="One value of the answer; give all that it has.")
@click.option("--nothing-found", is_flag=True, help="The department has nothing about this person or organisation.")
@click.option("--not-identified", is_flag=True, help="Number and name do not belong together.")
@click.option("--refused", default="", metavar="REASON", help="The department may not say it, and why.")
def answer(
    department: str, question_id: str, found: tuple[str, ...], nothing_found: bool, not_identified: bool, refused: str
) -> None:
    """As DEPARTMENT, answer the question QUESTION_ID of its queue, in one of four ways.

    The answer is published by the department's connector, and is not changed any more.
    """
    ways = {"found": found, "nothing_found": nothing_found, "not_identified": not_identified, "refused": refused}
    chosen = [status for status, is_given in ways.items() if is_given]
    if len(chosen) != 1:
        raise click.UsageError("give one of --found, --nothing-found, --not-identified and --refused")
    if wrong := [one for one in found if "=" not in one]:
        raise click.BadParameter(f"'{wrong[0]}' is not NAME=VALUE", param_hint="--found")
    given = dict(one.split("=", 1) for one in found)
    settings = Settings()
    person = operator(settings)
    with _opened(settings, department) as (store, asking):
        person_queue.answer(
            store, asking, question_id, chosen[0], person, datetime.now(UTC), given=given, reason=refused
        )
    click.echo("Answered; the connector publishes it.")
