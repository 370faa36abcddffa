"""`exchange ledger` and `exchange audit`: keep the ledger in SQL, check it against Kafka, ask it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, fields
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn

from exchange import names
from exchange.audit.balance import Balance, balance_against_kafka
from exchange.audit.balance import balance as balance_of
from exchange.audit.copy_list import held_copies
from exchange.audit.disclosures import disclosures
from exchange.audit.questions import Selection, exchanged, unknown
from exchange.audit.verify import verify as verify_ledger
from exchange.bus.connection import connect
from exchange.cli.daemon import daemon, metrics_port_option
from exchange.cli.options import output_option, say_time, show_json
from exchange.cli.say import counted, say
from exchange.cli.table import table
from exchange.contract.period import midnight, ms_of
from exchange.epochs import epoch_in_force
from exchange.keys import ledger_key_file, load
from exchange.ledger.entry import tag
from exchange.ledger.follower import Follower
from exchange.ledger.store import LedgerStore, ledger_url
from exchange.settings import Settings

_day = click.DateTime(["%Y-%m-%d"])


@click.group()
def ledger() -> None:
    """Keep the ledger in SQL, and check it against the records on Kafka."""


@ledger.command()
@click.option("--until-idle", is_flag=True, help="End when everything is taken in and decided.")
@metrics_port_option
def follow(until_idle: bool, metrics_port: int) -> None:
    """Follow the ledger into the database of EXCHANGE_LEDGER_URL until stopped. It is safe to kill it at any moment."""
    settings = Settings()
    with closing(LedgerStore(ledger_url(settings))) as store:
        follower = Follower(connect(settings, "exchange.ledger.follower", names.LEDGER_PRINCIPAL), store)
        with daemon(settings, metrics_port, follower.health) as stop:
            follower.follow(stop, until_idle=until_idle)


@ledger.command()
@click.option("--subject", help="Only this subject, as <department>.<name>.")
@output_option
def verify(subject: str | None, output: str) -> None:
    """Compute from the records on Kafka what the ledger must say, and compare; run it on a quiet system.

    For subjects with a key this includes who holds which rows. The ledger's database is not used. Exit status 1 if
    something differs.
    """
    settings = Settings()
    cluster = connect(settings, "exchange.ledger.verifier", names.LEDGER_PRINCIPAL)
    with _progress() as report:
        found = verify_ledger(cluster, load(ledger_key_file(settings)), subject, report)
    if output == "json":
        show_json(found)
    else:
        for mismatch in found.mismatches:
            say(f"{mismatch.place}: {mismatch.fault}", "red")
        click.echo(
            f"{found.entries:,} entries: {found.records:,} source records and {found.deliveries:,} deliveries computed "
            f"again; {found.rows:,} rows held; {found.pending:,} not yet routed; {found.unverifiable:,} proofs whose "
            f"records are no longer kept; {found.gaps:,} accepted gaps; {len(found.mismatches):,} mismatches"
        )
    if found.mismatches:
        sys.exit(1)


@click.group()
def audit() -> None:
    """Ask the ledger: what was exchanged, does it balance, who got whose records."""


def _selection(command: Callable[..., None]) -> Callable[..., None]:
    """Options that narrow a question; the command gets them as `selection`."""

    @click.option(
        "--since",
        type=click.DateTime(["%Y-%m-%d"]),
        metavar="DAY",
        help="From this day on (YYYY-MM-DD, the city's time).",
    )
    @click.option("--until", type=_day, metavar="DAY", help="Up to this day, included.")
    @click.option("--subject", help="Only this subject, as <department>.<name>.")
    @click.option("--reader", help="Only this department as reader.")
    @click.option("--grant", help="Only this grant.")
    @wraps(command)
    def narrowed(since: datetime | None, until: datetime | None, **arguments: Any) -> None:
        of = {name: arguments.pop(name) for name in ("subject", "reader", "grant")}
        after = until + timedelta(days=1) if until else None
        command(selection=Selection(since_ms=_ms(since), until_ms=_ms(after), **of), **arguments)

    return narrowed


@audit.command("list")
@_selection
@output_option
def list_(selection: Selection, output: str) -> None:
    """What was exchanged: per day, subject, reader and grant, what was delivered, withheld and withdrawn, and why."""
    with _asked(selection) as store:
        found = exchanged(store, selection)
    if output == "json":
        show_json(found)
        return
    table(
        ("day", "subject", "reader", "grant", "replay", "purpose", "records", "delivered", "withheld", "withdrawn",
         "quarantined"),
        [
            (one.day, one.subject, one.reader, one.grant, one.replay or "", one.purpose, one.records, one.delivered,
             _reasons(one.withheld), _reasons(one.withdrawn), one.quarantined)
            for one in found
        ],
    )  # fmt: skip


@audit.command()
@_selection
@click.option("--against-kafka", is_flag=True, help="Count the records on Kafka too; on a quiet system.")
@output_option
def balance(selection: Selection, against_kafka: bool, output: str) -> None:
    """Whether, for every grant in force, every record was delivered, withheld, withdrawn or quarantined, exactly once.

    Exit status 1 if something does not balance.
    """
    with _asked(selection) as store:
        if against_kafka:
            cluster = connect(Settings(), "exchange.ledger.audit", names.LEDGER_PRINCIPAL)
            with _progress() as report:
                found = balance_against_kafka(cluster, store, selection, report)
        else:
            found = balance_of(store, selection)
    if output == "json":
        parts = {name: getattr(found, name) for name in ("grants", "partitions", "kafka", "gaps")}
        lists = {name: [asdict(one) | {"balanced": one.balanced} for one in part] for name, part in parts.items()}
        show_json({"balanced": found.balanced} | {f.name: getattr(found, f.name) for f in fields(found)} | lists)
    else:
        _show_balance(found)
    if not found.balanced:
        sys.exit(1)


def _show_balance(found: Balance) -> None:
    table(
        ("subject", "partition", "grant", "reader", "replay", "records", "delivered", "withheld", "withdrawn",
         "quarantined", "balanced"),
        [(*(asdict(one) | {"replay": one.replay or ""}).values(), _yes(one.balanced)) for one in found.grants],
    )  # fmt: skip
    table(
        ("subject", "partition", "entries", "records", "quarantined", "replayed", "twice", "unauthorised",
         "balanced"),
        [(*asdict(one).values(), _yes(one.balanced)) for one in found.partitions],
    )  # fmt: skip
    if found.kafka:
        table(
            ("topic", "partition", "in the ledger", "on Kafka", "not yet routed", "compared", "balanced"),
            [(c.topic, c.partition, c.ledger, c.kafka, c.pending, _yes(c.compared), _yes(c.balanced))
             for c in found.kafka],
        )  # fmt: skip
    if found.gaps:
        table(
            ("subject", "partition", "never decided from", "to before", "cause", "offsets", "accepted by epoch"),
            [(one.subject, one.partition, one.first, one.next, one.cause,
              "unknown" if one.offsets is None else one.offsets, one.epoch or "NONE") for one in found.gaps],
        )  # fmt: skip
    for gap in found.open_gaps:
        say(f"{gap}: the routers stand still there — see `exchange router gaps`", "red")
    if found.undecided_entries:
        click.echo(f"{found.undecided_entries:,} entries wait for the end of their transaction")
    if found.behind:
        told = f"the database is {found.behind:,} offsets behind the ledger"
        click.echo(f"{told}: run `exchange ledger follow --until-idle`")
    covered = f"{sum(one.records for one in found.partitions):,} source records in the ledger"
    verdict, color = ("balanced", "green") if found.balanced else ("NOT balanced", "red")
    click.secho(f"{covered}: {verdict}", fg=color)


@audit.command()
@click.argument("identifier")
@_selection
@click.option("--include-aborted", is_flag=True, help="Also what only a reader that reads uncommitted could have seen.")
@output_option
def person(identifier: str, selection: Selection, include_aborted: bool, output: str) -> None:
    """Who received records of this person or organisation, or lost them again: when, on what basis, with the proof.

    IDENTIFIER is a resident ID or credit code; `-` reads it from standard input, which keeps it out of the shell's
    history. It is neither logged nor stored: the ledger knows only its keyed tag.
    """
    settings = Settings()
    if identifier == "-":
        identifier = sys.stdin.readline()
    wanted = tag(identifier.strip().encode(), load(ledger_key_file(settings)))
    with _asked(selection) as store:
        found = list(disclosures(store, wanted, selection, include_aborted=include_aborted))
    if output == "json":
        rows = [asdict(one) | {"time": say_time(one.time_ms)} for one in found]
        show_json(rows)
        return
    table(
        ("time", "reader", "subject", "verdict", "records", "fields", "grant", "purpose", "legal basis", "state",
         "replay", "proof"),
        [
            (say_time(d.time_ms), d.reader, d.subject, f"{d.verdict} ({d.reason})" if d.reason else d.verdict,
             d.records, d.fields if isinstance(d.fields, str) else
             ", ".join(d.fields), d.grant, d.purpose, d.basis, d.state, d.replay or "", d.entry)
            for d in found
        ],
    )  # fmt: skip
    got = [one for one in found if one.verdict == "delivered"]
    lost = sum(one.records for one in found) - sum(one.records for one in got)
    readers = {one.reader for one in got}
    given = f"{counted(sum(one.records for one in got), 'record')} delivered to {counted(len(readers), 'department')}"
    click.echo(f"{given}; {counted(lost, 'withdrawal')}")


@audit.command()
@click.option("--subject", help="Only this subject, as <department>.<name>.")
@click.option("--reader", help="Only this department as reader.")
@output_option
def copies(subject: str | None, reader: str | None, output: str) -> None:
    """What each reader holds, as its connector says: rows, last change, and whether an ended grant's were deleted.

    Rows are stuck if they have to go and the reader's database refuses to remove them. It also shows connectors that
    have never reported, or not for 10 minutes. A department that reads its inbox without the exchange's connector never
    reports.
    """
    cluster = connect(Settings(), "exchange.ledger.copies", names.LEDGER_PRINCIPAL)
    found = held_copies(cluster, epoch_in_force(cluster), datetime.now(UTC), reader=reader, subject=subject)
    if output == "json":
        show_json(found)
        return
    table(
        ("reader", "subject", "grant", "in force", "rows", "stuck", "last change", "deletion", "reported"),
        [
            (one.reader, one.subject, one.grant, "yes" if one.is_in_force else "no",
             "unknown" if one.rows is None else f"{one.rows:,}", f"{one.stuck:,}" if one.stuck else "",
             _moment(one.changed),
             _deletion(one.deletion, one.since), _reported(one.reported, is_silent=one.is_silent))
            for one in found
        ],
    )  # fmt: skip
    due, silent = sum(one.deletion == "due" for one in found), sum(one.is_silent for one in found)
    stuck = sum(one.stuck for one in found)
    click.echo(f"{len(found):,} copies; {due:,} deletions due; {counted(stuck, 'row')} stuck; {silent:,} not reporting")


def _moment(moment: datetime | None) -> str:
    return "" if moment is None else say_time(ms_of(moment))


def _deletion(state: str, since: datetime | None) -> str:
    if since is None:
        return state
    return f"{state} {'since' if state == 'due' else 'at'} {_moment(since)}"


def _reported(moment: datetime | None, *, is_silent: bool) -> str:
    if moment is None:
        return "NEVER"
    return f"NOT SINCE {_moment(moment)}" if is_silent else _moment(moment)


@contextmanager
def _asked(selection: Selection) -> Iterator[LedgerStore]:
    """The ledger's database. Says on stderr what it does not know, because an answer of nothing would not."""
    with closing(LedgerStore(ledger_url(Settings()))) as store:
        for fault in unknown(store, selection):
            say(f"{fault}; see `exchange grant list`", "yellow", err=True)
        yield store


def _ms(day: datetime | None) -> int | None:
    return None if day is None else ms_of(midnight(day))


def _reasons(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in counts.items())


def _yes(holds: bool) -> str:
    return "yes" if holds else "NO"


@contextmanager
def _progress() -> Iterator[Callable[[str, int], None]]:
    """Show a line on stderr with the topic and the number of records read so far."""
    columns = (SpinnerColumn(), TextColumn("{task.description} {task.completed:,.0f} records"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=None)

        def report(topic: str, records: int) -> None:
            progress.update(task, description=topic, advance=records)

        yield report
