"""`exchange department`: who can log in to Kafka, and by which credential file."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import click

from exchange import credentials
from exchange.bus import Cluster, users
from exchange.cli.connection import connect
from exchange.cli.say import say
from exchange.contract.load import load
from exchange.contract.nearest import nearest
from exchange.contract.period import city_day
from exchange.errors import ConfigError
from exchange.settings import Settings

_CLIENT = "exchange.department"
_output = click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)


class UnknownPrincipalError(ConfigError):
    """Neither a department of the contract nor a service."""

    code = "unknown-principal"


class LoginExistsError(ConfigError):
    """Somebody else may hold the credentials that would be replaced."""

    code = "login-exists"


@click.group()
def department() -> None:
    """Give departments and services their logins to Kafka.

    A login is a SCRAM user with a random password, which is written to a credential file (mode 0600)
    and shown nowhere. What the login may do, `exchange apply` derives from the contract.
    """


@department.command()
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--all", "everybody", is_flag=True, help="Everybody who has no login yet.")
def add(ids: tuple[str, ...], everybody: bool) -> None:
    """Let departments log in, and write their credential files. Safe to run again.

    ID is a department of the contract, or a service: exchange.router, exchange.ledger.
    """
    settings = Settings()
    known = _known(settings)
    wanted = list(known) if everybody else _all_known(ids, known)
    if not wanted:
        raise click.UsageError("name a department, or give --all")
    cluster = connect(settings, _CLIENT, credentials.ADMIN)
    there = users.principals(cluster)
    missing = {}
    for principal in wanted:
        path = _file(settings, cluster, principal)
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

    When this returns, the old password makes no new connection. Connections that were made with it
    live on until the broker asks for the password again, at most its connections.max.reauth.ms (the
    local broker: 15 minutes).
    """
    settings = Settings()
    [principal] = _all_known([id_], _known(settings))
    own = credentials.file_of(settings.home, credentials.ADMIN)
    if principal == credentials.ADMIN and users.staged(own).exists():
        users.take_up(connect(settings, _CLIENT, principal), own)  # an earlier rotation that was interrupted
    cluster = connect(settings, _CLIENT, credentials.ADMIN)
    path = _file(settings, cluster, principal)
    if principal not in users.principals(cluster):
        raise UnknownPrincipalError(f"{principal} has no login yet", remedy=f"exchange department add {principal}")
    users.issue(cluster, {principal: path})
    click.echo(f"{principal}: {path} is written; the old password makes no new connection any more.")
    click.echo(
        f"Restart what runs as {principal} with the new file: its connections end when the broker asks for the "
        "password again (connections.max.reauth.ms; the local broker: within 15 minutes)."
    )


@department.command("list")
@_output
def list_(output: str) -> None:
    """Say who can log in, and whose credential file is here."""
    settings = Settings()
    cluster = connect(settings, _CLIENT, credentials.ADMIN)
    there = users.principals(cluster)
    known = _known(settings)
    rows = [
        {
            "principal": principal,
            "title": known.get(principal, "not in the contract"),
            "login": principal in there,
            "file": str(path) if (path := _file(settings, cluster, principal)).exists() else None,
        }
        for principal in [*known, *sorted(there - set(known))]
    ]
    if output == "json":
        click.echo(json.dumps(rows, ensure_ascii=False))
        return
    for row in rows:
        login = "can log in" if row["login"] else "no login  "
        say(f"{row['principal']:24} {login}  {row['file'] or '-'}  {row['title']}")


def _known(settings: Settings) -> dict[str, str]:
    """Every department of the contract and every service, with its title."""
    contract = load(settings.contract, city_day(datetime.now(UTC))).contract
    return dict.fromkeys(credentials.SERVICES, "service") | {d.id: d.title.zh for d in contract.departments}


def _all_known(ids: tuple[str, ...] | list[str], known: dict[str, str]) -> list[str]:
    for principal in ids:
        if principal not in known:
            message = f"{principal!r} is no department of the contract"
            raise UnknownPrincipalError(message, remedy=nearest(principal, known))
    return list(dict.fromkeys(ids))


def _file(settings: Settings, cluster: Cluster, principal: str) -> Path:
    """The file that the administrator's own credentials came from is the one that is replaced."""
    if settings.credentials and cluster.security and cluster.security.username == principal:
        return settings.credentials
    return credentials.file_of(settings.home, principal)
