"""`exchange connector`: run, check and list the departments' connectors."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial

import click

from exchange.bus.connection import connect
from exchange.cli.daemon import daemon, metrics_port_option
from exchange.cli.live import live
from exchange.cli.options import confirm, output_option, show_gaps, show_json, today, yes_option
from exchange.cli.say import counted, say
from exchange.connect import answer, load, runner
from exchange.connect import gaps as gaps_of
from exchange.connect.worker import Worker
from exchange.errors import ConfigError
from exchange.grants.desk import operator
from exchange.grants.life import plain
from exchange.metrics import Health
from exchange.settings import Settings


@click.group()
def connector() -> None:
    """Move a department's records between its databases and Kafka.

    Each department has a folder with a connector.yaml, which says what it publishes and what it takes in.
    """


@connector.command()
@click.argument("department")
@click.option("--until-idle", is_flag=True, help="Stop when everything is published and taken in.")
@metrics_port_option
def run(department: str, until_idle: bool, metrics_port: int) -> None:
    """Run all sources, sinks and cases of DEPARTMENT, and answer what it is asked, until SIGTERM."""
    settings = Settings()
    found = load.load(settings.connectors, department)
    cluster = connect(settings, f"{department}.connector", department)
    running: list[runner.RunningConnector] = []

    def health() -> Health:
        return running[0].health() if running else Health(ok=False, facts={"status": "starting"})

    with live(lambda: running[0].workers if running else ()), daemon(settings, metrics_port, health) as stop:
        extra = partial(_case_workers, found, settings, patient=not until_idle)
        running.append(runner.start(cluster, found, settings.home, stop, until_idle=until_idle, extra=extra))
        running[0].wait(until_idle=until_idle)
    for worker in running[0].workers if until_idle else ():
        say(f"{worker.kind} {worker.subject}: {worker.headway}")


def _case_workers(
    found: load.Connector, settings: Settings, stop: threading.Event, *, patient: bool
) -> Sequence[Worker]:
    """The threads of a department that asks or answers; another one does not load what they need."""
    made: list[Worker] = []
    if found.config.answers:
        from exchange.cases.answering import answer_worker

        made += answer_worker.workers(found, settings.home, stop, patient=patient)
    if (found.folder / "cases").is_dir():
        from exchange.cases import engine_worker
        from exchange.workdays import read_calendar

        calendar = read_calendar(settings.holidays)
        made += engine_worker.workers(found, settings.home, calendar, stop, patient=patient)
    return made


@connector.command()
@click.argument("department")
@click.option("--sample", type=click.IntRange(min=1), help="Also read so many rows of each table, and say how fast.")
@output_option
def check(department: str, sample: int | None, output: str) -> None:
    """Check DEPARTMENT's connector.yaml against the contract, its databases and their first rows.

    Shows every mistake at once, each with its line. Nothing is published or written.
    """
    from exchange.cases import question_check, tables
    from exchange.cases.answering import answer_check, answer_tables
    from exchange.connect import check as checks  # `run` needs none of these, and holds what it has loaded
    from exchange.connect import sample as sampling

    settings = Settings()
    problems = checks.examine(settings, department, today(), made=[answer_tables.ANSWERS, tables.questions.name])
    with suppress(load.ConnectorConfigError):  # is among the problems
        found = load.load(settings.connectors, department)
        problems += [*answer_check.check(found, settings.home), *question_check.check(found, today())]
    is_right = not any(problem.severity == "error" for problem in problems)
    sampled = sampling.examine(settings, department, today(), sample) if sample and is_right else []
    if output == "json":
        show_json({"problems": sorted(problems), "samples": sampled} if sample else sorted(problems))
    else:
        for problem in sorted(problems):
            say(f"{department}/{load.FILE}: {problem}")
        errors = sum(problem.severity == "error" for problem in problems)
        click.echo(f"{counted(errors, 'error')}, {counted(len(problems) - errors, 'warning')}")
        for one in sampled:
            say(str(one))
    if not is_right:
        sys.exit(ConfigError.exit_status)


@connector.command()
@click.argument("department")
@click.argument("subject")
@output_option
def gaps(department: str, subject: str, output: str) -> None:
    """Show what was deleted from DEPARTMENT's inbox of SUBJECT before its connector took it in.

    Exit status 2 if there is such a gap: the sink stands still there.
    """
    settings = Settings()
    found = load.load(settings.connectors, department)
    there = gaps_of.open_gaps(connect(settings, f"{department}.gaps", department), found, settings.home, subject)
    show_gaps(there, output)


@connector.command("accept-gap")
@click.argument("department")
@click.argument("subject")
@click.option("--reason", default="", help="Why the deliveries are gone; it stays in the table exchange_gaps.")
@yes_option
def accept_gap(department: str, subject: str, reason: str, yes: bool) -> None:
    """Let DEPARTMENT's sink of SUBJECT go on after its gaps: it gets nothing of what is missing there.

    A running connector goes on within half a minute. Deliveries whose source records still exist can be repeated:
    `exchange grant replay GRANT --again`.
    """
    settings = Settings()
    plain(reason, "the reason", remedy="give it with --reason")
    found = load.load(settings.connectors, department)
    cluster = connect(settings, f"{department}.gaps", department)
    there = gaps_of.open_gaps(cluster, found, settings.home, subject)
    for gap in there:
        say(str(gap))
    if there:
        confirm("Go on after this?", yes=yes, look=f"`exchange connector gaps {department} {subject}`")
        person = operator(settings)
        gaps_of.accept(cluster, found, settings.home, there, subject, person, reason, datetime.now(UTC))
    click.echo(f"Accepted: {counted(len(there), 'gap')}.")


@connector.command("accept-deletions")
@click.argument("department")
@click.argument("subject")
@click.option("--reason", default="", help="Why so many rows are gone; it stays on the cursor topic.")
@yes_option
def accept_deletions(department: str, subject: str, reason: str, yes: bool) -> None:
    """Let DEPARTMENT's source of SUBJECT delete the rows about which it asks, and no others.

    If the rows come back, or a wrong file is taken out of `taken/`, the source goes on without this. A running
    connector goes on within half a minute.
    """
    settings = Settings()
    plain(reason, "the reason", remedy="give it with --reason")
    cluster = connect(settings, f"{department}.deletions", department)
    question = answer.question(cluster, department, subject)
    say(f"{subject}: {question} (asked {question.asked})")
    confirm("Delete them?", yes=yes, look=f"{department}'s table or file")
    answer.accept(cluster, department, subject, question, operator(settings), reason, datetime.now(UTC))
    click.echo(f"Accepted: {counted(question.gone, 'deletion')}.")


@connector.command("list")
@output_option
def list_(output: str) -> None:
    """List all connectors, with what each publishes and takes in."""
    settings = Settings()
    rows = []
    for department in load.departments(settings.connectors):
        config = load.load(settings.connectors, department).config
        rows.append(
            {
                "department": department,
                "sources": [source.subject for source in config.sources],
                "sinks": [sink.subject for sink in config.sinks],
            }
        )
    if output == "json":
        show_json(rows)
        return
    for row in rows:
        click.echo(f"{row['department']}: publishes {', '.join(row['sources']) or 'nothing'}")
        click.echo(f"{' ' * len(row['department'])}  takes in {', '.join(row['sinks']) or 'nothing'}")
