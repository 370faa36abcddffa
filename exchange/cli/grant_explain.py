"""`exchange grant explain`: whether one record was delivered to one reader, and why."""

from __future__ import annotations

import re
import sys
from contextlib import closing
from dataclasses import asdict

import click

from exchange import names
from exchange.audit.explain import Decision, Place, explain_entity, explain_place
from exchange.bus.connection import connect
from exchange.cli.options import output_option, say_time, show_json
from exchange.keys import ledger_key_file, load
from exchange.ledger.entry import tag
from exchange.ledger.store import LedgerStore, ledger_url
from exchange.settings import Settings

_ASK = "?"  # what click passes for `--entity` without a value; no identifier looks like this


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
@output_option
def explain(subject: str, reader: str, place: str | None, entity: str | None, output: str) -> None:
    """Say for one record and one reader: delivered or not, when, under which grant and epoch, or which rule stopped it.

    Answers come from the ledger's database. A record named by --offset is also looked up on Kafka, to prove the entry
    and to say which condition of the grant did not hold. The identifier given by --entity is neither shown nor logged
    nor stored; --entity without a value asks for it, which keeps it out of the shell's history.
    """
    if (place is None) == (entity is None):
        raise click.UsageError("give either --offset or --entity")
    settings = Settings()
    cluster = connect(settings, "exchange.explain", names.LEDGER_PRINCIPAL)
    with closing(LedgerStore(ledger_url(settings))) as store:
        if place is not None:
            found = explain_place(cluster, store, subject, reader, _place(place))
        else:
            wanted = tag(_identifier(entity or "").encode(), load(ledger_key_file(settings)))
            found = explain_entity(cluster, store, subject, reader, wanted)
    if output == "json":
        nothing = None if found.undecided is None else dict(zip(("reason", "detail"), found.undecided, strict=True))
        rows = [asdict(one) | {"time": say_time(one.time_ms)} for one in found.decisions]
        show_json({"decisions": rows, "undecided": nothing, "behind": found.behind})
        return
    for decision in found.decisions:
        _show(decision)
    if found.undecided:
        click.echo(": ".join(found.undecided))
    if found.behind:
        told = f"The database is {found.behind:,} offsets behind the ledger"
        click.echo(f"{told}: run `exchange ledger follow --until-idle`.")


def _place(text: str) -> Place:
    found = re.fullmatch(r"(\d{1,9})/(\d{1,18})", text)
    if found is None:
        raise click.BadParameter("is not a partition and offset, such as 0/1234", param_hint="--offset")
    return int(found[1]), int(found[2])


def _identifier(given: str) -> str:
    if given == _ASK:
        return str(click.prompt("Identifier", hide_input=True, err=True)).strip()
    return sys.stdin.readline().strip() if given == "-" else given.strip()


def _show(decision: Decision) -> None:
    verdict = decision.verdict + (f" ({decision.reason})" if decision.reason not in ("", decision.verdict) else "")
    under = f"grant {decision.grant}, epoch {decision.epoch}" if decision.grant else f"epoch {decision.epoch}"
    replay = f", in replay {decision.replay}" if decision.replay else ""
    proof = {
        True: "proven by the source's records",
        False: "DOES NOT FIT the source's records",
        None: "not proven: the source's records were not checked (use --offset), or are no longer kept",
    }
    where = f"{decision.partition}/{decision.offset}"
    color = "green" if decision.verdict == "delivered" else "yellow"
    click.secho(f"{where}: {verdict}", fg=color, nl=False)
    click.echo(f" — {decision.detail}; {under}{replay}; {say_time(decision.time_ms)}, by router {decision.router}, "
               f"{decision.state}")  # fmt: skip
    click.echo(f"    entry {decision.entry}: {proof[decision.proven]}")
