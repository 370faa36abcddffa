"""`exchange grant revoke`: end a grant at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import click

from exchange import names
from exchange.bus.connection import connect
from exchange.cli.grant_desk import complete_grant, with_desk
from exchange.errors import ConfigError
from exchange.grants.desk import Desk
from exchange.grants.life import must_have_part, plain
from exchange.router.revocation import Revoked
from exchange.router.revocation import revoke as end


@click.command()
@click.argument("grant_id", metavar="GRANT", shell_complete=complete_grant)
@click.option("--reason", default="", help="Why; it stays in the history.")
@with_desk
def revoke(desk: Desk, grant_id: str, reason: str) -> None:
    """End a grant: once this has returned, no router releases another record under it.

    The data authority, the subject's owner and the reader may do this. The grant is removed from the contract file, and
    the next epoch is the present one without it; other edits of the file wait for `exchange apply`. Routers that do not
    answer are fenced. What was delivered before stays in the reader's inbox; the reader's connector deletes or keeps
    its rows, as the grant's `after` says. Safe to run again.
    """
    plain(reason, "the reason", remedy="give it with --reason")
    settings, actor = desk.settings, desk.actor
    cluster = connect(settings, "exchange.apply", names.ADMIN_PRINCIPAL)
    with ThreadPoolExecutor(1) as pool:
        opened = pool.submit(desk.store)  # in parallel, while Kafka and the routers answer
        may = partial(must_have_part, actor, settings.authority)
        done = end(cluster, settings.contract, grant_id, desk.now, may)
    click.echo(f"Grant {grant_id} is revoked: {_told(done)}")
    with opened.result() as store:
        store.note_revoked(done.grant, actor, desk.now, reason)
    if done.fault:
        remedy = f"take {grant_id} out of it before anyone runs `exchange apply`: that would grant it again"
        message = f"the grant is revoked, but still in the contract file: {done.fault}"
        raise ConfigError(message, remedy=remedy) from done.fault


def _told(done: Revoked) -> str:
    if done.epoch is None:
        return "no contract was ever in force."
    told = "No record is released under the earlier contract since an earlier command returned."
    return f"epoch {done.epoch} is without it. {done.passed.text if done.passed else told}"
