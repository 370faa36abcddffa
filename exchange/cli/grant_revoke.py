"""`exchange grant revoke`: end a grant at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click

from exchange import names
from exchange.bus import Cluster
from exchange.bus.connection import connect
from exchange.bus.topics import Publisher
from exchange.cli.grant_desk import Desk, complete_grant, with_desk
from exchange.contract.edit import rewritten
from exchange.contract.epoch import without
from exchange.contract.file import edit, read_file
from exchange.contract.model import Epoch, Grant
from exchange.epochs import Newest, Published, epochs, publish_next
from exchange.errors import ConfigError, ExchangeError
from exchange.grants.history import Event
from exchange.grants.life import NoRequestError, WrongActorError, plain
from exchange.router.barrier import Adoption


@click.command()
@click.argument("grant_id", metavar="GRANT", shell_complete=complete_grant)
@click.option("--reason", default="", help="Why; it stays in the history.")
@with_desk
def revoke(desk: Desk, grant_id: str, reason: str) -> None:
    """End a grant: once this has returned, no router releases one more record under it.

    The data authority, the subject's owner and the reader can. The grant is taken out of the contract file and the
    next epoch is the present one without it: other edits of the file wait for `exchange apply`. Routers that do not
    answer are fenced. What was delivered before stays in the reader's inbox. Safe to run again.
    """
    plain(reason, "the reason", remedy="give it with --reason")
    actor, fault = desk.actor, None
    cluster = connect(desk.settings, "exchange.apply", names.ADMIN_PRINCIPAL)
    with ThreadPoolExecutor(3) as pool:
        # While Kafka and the routers answer.
        out = pool.submit(Publisher, cluster, names.CONTRACT)
        edited, opened = pool.submit(_edited, desk.settings.contract, grant_id), pool.submit(desk.store)
        with Adoption(cluster) as adoption, out.result() as contract:
            grant = _find(desk, cluster, adoption.newest, grant_id)
            _require_right(desk, grant)
            # First the file: whoever applies it from now on does not bring the grant back.
            try:
                edit(desk.settings.contract, lambda data: edited.result().get(data) or rewritten(data, drop=[grant_id]))
            except ExchangeError as error:
                fault = error
            told = _settled(adoption, _withdraw(desk, contract, adoption.newest, grant_id))
    click.echo(f"Grant {grant_id} is revoked: {told}")
    with opened.result() as store, store.writing() as writer:
        body = grant.model_dump_json(by_alias=True)
        writer.record(Event(desk.now, actor, "revoke", grant_id, reason=reason, body=body))
    if fault:
        remedy = f"take {grant_id} out of it before anyone runs `exchange apply`: that would grant it again"
        raise ConfigError(f"the grant is revoked, but still in the contract file: {fault}", remedy=remedy) from fault


def _edited(path: Path, grant_id: str) -> dict[bytes, bytes]:
    """The contract file as it is, and as it is to be."""
    data = read_file(path)
    return {data: rewritten(data, drop=[grant_id])}


def _find(desk: Desk, cluster: Cluster, newest: Newest, grant_id: str) -> Grant:
    """The grant as it is in force; else as the file has it, or as it was: an earlier run may have been cut short."""
    found = newest.find()
    grants = list(found.epoch.contract.grants) if found else []
    if all(grant.id != grant_id for grant in grants):
        grants = [grant for published in epochs(cluster) for grant in published.epoch.contract.grants]
        grants += desk.contract().grants
    for grant in reversed(grants):
        if grant.id == grant_id:
            return grant
    raise NoRequestError(f"there is no grant {grant_id}")


def _require_right(desk: Desk, grant: Grant) -> None:
    owner = grant.subject.partition(".")[0]
    may = (desk.settings.authority, owner, grant.reader)
    if desk.actor.department not in may:
        remedy = "let one of them do it (--department), or see what EXCHANGE_AUTHORITY says"
        raise WrongActorError(f"grant {grant.id} is for {', '.join(dict.fromkeys(may))} to revoke", remedy=remedy)


def _withdraw(desk: Desk, contract: Publisher, newest: Newest, grant_id: str) -> Published | None:
    """The epoch in force, in which there is no such grant."""

    def change(epoch: Epoch) -> Epoch | None:
        is_there = any(grant.id == grant_id for grant in epoch.contract.grants)
        return without(epoch, grant_id, desk.now) if is_there else None

    return publish_next(contract, newest, change)


def _settled(adoption: Adoption, found: Published | None) -> str:
    """What to tell when no router releases anything under the epochs before."""
    if found is None:
        return "no contract was ever in force."
    if adoption.has_passed(found):  # not so where a run before has published it and died
        told = "No record is released under the contract before since an earlier command returned."
    else:
        told = adoption.passed(found).text
    return f"epoch {found.epoch.number} is without it. {told}"
