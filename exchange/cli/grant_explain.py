"""`exchange grant explain`: for one record and one reader, delivered or not, and why."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict

import click

from exchange import names
from exchange.audit.explain import Decision, entry_at, explained, of_entity, of_place, undecided
from exchange.audit.reconcile import behind
from exchange.bus import Cluster
from exchange.bus.connection import connect
from exchange.cli.moment import say_ms
from exchange.contract.model import Epoch
from exchange.epochs import epochs
from exchange.errors import ConfigError
from exchange.keys import ledger_key_file, load
from exchange.ledger.entry import tag
from exchange.ledger.store import Store, ledger_url
from exchange.settings import Settings

_ASK = "?"  # what click gives for `--entity` without a value; no identifier


@click.command()
@click.option("--subject", required=True, help="The subject, as <department>.<name>.")
@click.option("--reader", required=True, help="The reader's department.")
@click.option("--offset", "place", metavar="P/O", help="The record's partition and offset on the subject's topic.")
@click.option(
    "--entity",
    is_flag=False,
    flag_value=_ASK,
    metavar="[ID]",
    help="Every record of this person or organisation; `-` reads the identifier from standard input, none asks for it.",
)
@click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def explain(subject: str, reader: str, place: str | None, entity: str | None, output: str) -> None:
    """Say for one record and one reader: delivered or not, when, under which grant and epoch, or which rule stopped it.

    Answers come from the ledger's database; a record named by --offset is also looked up on Kafka, to prove
    the entry and to say which condition of the grant did not hold. The identifier of --entity is
    neither shown nor logged nor stored; a bare --entity asks for it and keeps it out of the shell's history.
    """
    if (place is None) == (entity is None):
        raise click.UsageError("give either --offset or --entity")
    settings = Settings()
    cluster = connect(settings, "exchange.explain", names.LEDGER_PRINCIPAL)
    known = {published.epoch.number: published.epoch for published in epochs(cluster)}
    _must_be_known(known, subject, reader)
    with closing(Store(ledger_url(settings))) as store:
        late = behind(cluster, store)
        if place is not None:
            decisions, none = _of_place(cluster, store, known, subject, reader, place)
        else:
            wanted = tag(_identifier(entity or "").encode(), load(ledger_key_file(settings)))
            decisions = of_entity(store, known, subject, reader, wanted)
            none = ("no-record", "the ledger has no record of that entity in this subject")
    if output == "json":
        nothing = None if decisions else {"reason": none[0], "detail": none[1]}
        rows = [asdict(one) | {"time": say_ms(one.time_ms)} for one in decisions]
        click.echo(json.dumps({"decisions": rows, "undecided": nothing, "behind": late}, ensure_ascii=False))
        return
    for decision in decisions:
        _show(decision)
    if not decisions:
        click.echo(f"{none[0]}: {none[1]}")
    if late:
        click.echo(f"The database is {late:,} offsets behind the ledger: run `exchange ledger follow --until-idle`.")


def _of_place(
    cluster: Cluster, store: Store, known: Mapping[int, Epoch], subject: str, reader: str, place: str
) -> tuple[list[Decision], tuple[str, str]]:
    found = re.fullmatch(r"(\d{1,9})/(\d{1,18})", place)
    if found is None:
        raise click.BadParameter("is no partition and offset, such as 0/1234", param_hint="--offset")
    at = int(found[1]), int(found[2])
    decisions = of_place(store, known, subject, reader, at)
    if not decisions:
        return [], undecided(cluster, store, subject, at)
    return [explained(cluster, known, one, entry_at(store, one.entry)) for one in decisions], ("", "")


def _identifier(given: str) -> str:
    if given == _ASK:
        return str(click.prompt("Identifier", hide_input=True, err=True)).strip()
    return sys.stdin.readline().strip() if given == "-" else given.strip()


def _must_be_known(known: Mapping[int, Epoch], subject: str, reader: str) -> None:
    """ConfigError for a subject or reader that no contract ever had: a mistyped name would read as `no grant`."""
    contracts = [epoch.contract for epoch in known.values()]
    for what, name, known_names in (
        ("subject", subject, {s.id for contract in contracts for s in contract.subjects}),
        ("department", reader, {d.id for contract in contracts for d in contract.departments}),
    ):
        if name not in known_names:
            raise ConfigError(f"no contract ever had a {what} '{name}'", remedy="see `exchange grant list`")


def _show(decision: Decision) -> None:
    verdict = decision.verdict + (f" ({decision.reason})" if decision.reason not in ("", decision.verdict) else "")
    under = f"grant {decision.grant}, epoch {decision.epoch}" if decision.grant else f"epoch {decision.epoch}"
    replay = f", in replay {decision.replay}" if decision.replay else ""
    proof = {
        True: "proven by the source's records",
        False: "DOES NOT FIT the source's records",
        None: "not proven: the source's records were not looked at (--offset does), or are no longer kept",
    }
    where = f"{decision.partition}/{decision.offset}"
    color = "green" if decision.verdict == "delivered" else "yellow"
    click.secho(f"{where}: {verdict}", fg=color, nl=False)
    click.echo(f" — {decision.detail}; {under}{replay}; {say_ms(decision.time_ms)}, by router {decision.router}, "
               f"{decision.state}")  # fmt: skip
    click.echo(f"    entry {decision.entry}: {proof[decision.proven]}")
