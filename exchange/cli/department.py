"""`exchange department`: who can log in to Kafka, and by which credential file."""

from __future__ import annotations

from contextlib import suppress

import click

from exchange import credentials, names
from exchange.bus import Cluster, users
from exchange.bus.connection import connect
from exchange.cli.options import confirm, output_option, show_json, yes_option
from exchange.cli.say import say
from exchange.credentials import CredentialsError
from exchange.errors import ConfigError
from exchange.plan.logins import (
    UnknownPrincipalError,
    file_of,
    known_principals,
    require_known,
    require_removable,
)
from exchange.settings import Settings

_CLIENT = "exchange.department"


class LoginExistsError(ConfigError):
    """Someone else may hold the credentials that would be replaced."""

    code = "login-exists"
    remedy = "if it is lost: `exchange department rotate-credential`"


@click.group()
def department() -> None:
    """Give departments and services their logins to Kafka.

    A login is a SCRAM user with a random password. The password is written to a credential file (mode 0600) and shown
    nowhere. `exchange apply` derives from the contract what the login may do.
    """


@department.command()
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--all", "everybody", is_flag=True, help="Everybody who has no login yet.")
def add(ids: tuple[str, ...], everybody: bool) -> None:
    """Let departments log in, and write their credential files. Safe to run again.

    ID is a department of the contract, or a service: exchange.router, exchange.ledger.
    """
    settings = Settings()
    known = known_principals(settings)
    wanted = list(known) if everybody else require_known(ids, known)
    if not wanted:
        raise click.UsageError("name a department, or give --all")
    cluster = connect(settings, _CLIENT, names.ADMIN_PRINCIPAL)
    there = users.principals(cluster)
    missing = {}
    for principal in wanted:
        path = file_of(settings, cluster, principal)
        if principal not in there:
            missing[principal] = path
        elif path.exists() or users.take_up(cluster, path):
            click.echo(f"{principal}: has {path}")
        elif everybody:
            click.echo(f"{principal}: has a login, whose file is not here")
        else:
            raise LoginExistsError(
                f"{principal} has a login, and its file is not here",
                remedy=f"if it is lost: exchange department rotate-credential {principal}",
            )
    users.issue(cluster, missing)
    for principal, path in missing.items():
        click.echo(f"{principal}: {path} is written")
    if missing:
        click.echo("Hand over each file with the broker's CA certificate that it names, and keep no copy of others'.")


@department.command("rotate-credential")
@click.argument("id_", metavar="ID")
def rotate_credential(id_: str) -> None:
    """Replace the password of a department or service, and write its credential file anew. Safe to run again.

    When this returns, the old password opens no new connection. Connections opened with it live on until the broker
    asks for the password again, at most for its connections.max.reauth.ms (the local broker: 15 minutes).
    """
    settings = Settings()
    [principal] = require_known([id_], known_principals(settings))
    own = credentials.file_of(settings.home, names.ADMIN_PRINCIPAL)
    if principal == names.ADMIN_PRINCIPAL and users.staged(own).exists():
        users.take_up(connect(settings, _CLIENT, principal), own)  # completes an earlier rotation that was interrupted
    cluster = connect(settings, _CLIENT, names.ADMIN_PRINCIPAL)
    path = file_of(settings, cluster, principal)
    if principal not in users.principals(cluster):
        raise UnknownPrincipalError(f"{principal} has no login yet", remedy=f"exchange department add {principal}")
    users.issue(cluster, {principal: path})
    click.echo(f"{principal}: {path} is written; the old password makes no new connection any more.")
    click.echo(
        f"Restart what runs as {principal} with the new file: its connections end when the broker asks for the "
        "password again (connections.max.reauth.ms; the local broker: within 15 minutes)."
    )


@department.command()
@click.argument("id_", metavar="ID")
@yes_option
@output_option
def remove(id_: str, yes: bool, output: str) -> None:
    """Remove the login of a department that is no longer in the contract, and delete its credential file.

    First take the department out of the contract and run `exchange apply`, which takes its rights away. When this
    returns, its password opens no new connection. Its topics and their records stay: see `exchange plan`. Safe to run
    again if it was interrupted.
    """
    settings = Settings()
    cluster = connect(settings, _CLIENT, names.ADMIN_PRINCIPAL)
    files = require_removable(settings, cluster, id_)
    confirm(f"Remove the login of {id_} for good?", yes=yes, look="`exchange department list`")
    removed = users.remove(cluster, id_)
    for file in files:
        file.unlink(missing_ok=True)
    if output == "json":
        show_json({"principal": id_, "login": removed, "files": files})
        return
    click.echo(f"{id_}: {'cannot log in any more' if removed else 'had no login'}")
    for file in files:
        click.echo(f"{id_}: {file} is deleted")


@department.command("list")
@output_option
def list_(output: str) -> None:
    """Say who can log in, and whose credential file is here."""
    settings = Settings()
    cluster = connect(settings, _CLIENT, names.ADMIN_PRINCIPAL)
    there = users.principals(cluster)
    known = known_principals(settings)
    rows = [
        {
            "principal": principal,
            "title": known.get(principal, "not in the contract"),
            "login": principal in there,
            "file": _file_here(settings, cluster, principal),
        }
        for principal in [*known, *sorted(there - set(known))]
    ]
    if output == "json":
        show_json(rows)
        return
    for row in rows:
        login = "can log in" if row["login"] else "no login  "
        say(f"{row['principal']:24} {login}  {row['file'] or '-'}  {row['title']}")


def _file_here(settings: Settings, cluster: Cluster, principal: str) -> str | None:
    with suppress(CredentialsError):  # someone else's login may have a name that no file of ours can have
        if (path := file_of(settings, cluster, principal)).exists():
            return str(path)
    return None
