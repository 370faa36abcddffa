"""`exchange department`: who can log in to Kafka, and by which credential file."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import click

from exchange import credentials, names
from exchange.bus import Cluster, users
from exchange.bus.connection import connect
from exchange.bus.rule import in_words
from exchange.cli.say import say
from exchange.contract.load import load
from exchange.contract.period import city_day
from exchange.credentials import CredentialsError
from exchange.document.nearest import nearest
from exchange.errors import ConfigError
from exchange.plan.access import owned, principals
from exchange.plan.access import principal as with_type
from exchange.plan.apply import read_actual
from exchange.plan.plan import Actual
from exchange.settings import Settings

_CLIENT = "exchange.department"
_output = click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)


class UnknownPrincipalError(ConfigError):
    """Neither a department of the contract nor a service."""

    code = "unknown-principal"
    remedy = "name a department of the contract or a service"


class LoginExistsError(ConfigError):
    """Somebody else may hold the credentials that would be replaced."""

    code = "login-exists"
    remedy = "if it is lost: `exchange department rotate-credential`"


class StillNeededError(ConfigError):
    """The login belongs to a department that the exchange still knows."""

    code = "still-needed"
    remedy = "take it out of the contract first"


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
    cluster = connect(settings, _CLIENT, names.ADMIN_PRINCIPAL)
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
    own = credentials.file_of(settings.home, names.ADMIN_PRINCIPAL)
    if principal == names.ADMIN_PRINCIPAL and users.staged(own).exists():
        users.take_up(connect(settings, _CLIENT, principal), own)  # an earlier rotation that was interrupted
    cluster = connect(settings, _CLIENT, names.ADMIN_PRINCIPAL)
    path = _file(settings, cluster, principal)
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
@click.option("--yes", is_flag=True, help="Do not ask.")
@_output
def remove(id_: str, yes: bool, output: str) -> None:
    """Let a department that is no longer in the contract log in no more, and delete its credential file.

    First take it out of the contract and run `exchange apply`, which takes its rights away. When this
    returns, its password makes no new connection. Its topics and their records stay: see `exchange plan`.
    Safe to run again where it was interrupted.
    """
    settings = Settings()
    known = _known(settings)
    if id_ in credentials.SERVICES:
        remedy = f"replace its password: exchange department rotate-credential {id_}"
        raise StillNeededError(f"{id_} is a service of the exchange, not a department", remedy=remedy)
    if id_ in known:
        remedy = "take it, its subjects and its grants out, and run `exchange apply`"
        raise StillNeededError(f"{settings.contract} still has department {id_}", remedy=remedy)
    path = credentials.file_of(settings.home, id_)
    files = [file for file in (path, users.staged(path)) if file.exists()]
    cluster = connect(settings, _CLIENT, names.ADMIN_PRINCIPAL)
    actual = read_actual(cluster)
    former = actual.departments.intersection(users.principals(cluster)).difference(known)
    # Others on this Kafka have logins too, of which the exchange knows nothing.
    if not files and id_ not in former:
        remedy = nearest(id_, former) if former else "see `exchange department list`"
        raise UnknownPrincipalError(f"{id_!r} is no former department with a login", remedy=remedy)
    _require_gone(id_, actual)
    if not yes:
        if not sys.stdin.isatty():
            raise ConfigError("nobody is here to ask", remedy=f"run `exchange department remove {id_} --yes`")
        click.confirm(f"Remove the login of {id_} for good?", abort=True)
    removed = users.remove(cluster, id_)
    for file in files:
        file.unlink(missing_ok=True)
    if output == "json":
        click.echo(json.dumps({"principal": id_, "login": removed, "files": [str(file) for file in files]}))
        return
    click.echo(f"{id_}: {'cannot log in any more' if removed else 'had no login'}")
    for file in files:
        click.echo(f"{id_}: {file} is deleted")


@department.command("list")
@_output
def list_(output: str) -> None:
    """Say who can log in, and whose credential file is here."""
    settings = Settings()
    cluster = connect(settings, _CLIENT, names.ADMIN_PRINCIPAL)
    there = users.principals(cluster)
    known = _known(settings)
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
        click.echo(json.dumps(rows, ensure_ascii=False))
        return
    for row in rows:
        login = "can log in" if row["login"] else "no login  "
        say(f"{row['principal']:24} {login}  {row['file'] or '-'}  {row['title']}")


def _known(settings: Settings) -> dict[str, str]:
    """Every department of the contract and every service, with its title."""
    contract = load(settings.contract, city_day(datetime.now(UTC))).contract
    return dict.fromkeys(credentials.SERVICES, "service") | {d.id: d.title.zh for d in contract.departments}


def _require_gone(id_: str, actual: Actual) -> None:
    """StillNeededError where `exchange apply` has not yet taken the department's rights away."""
    remedy = f"run `exchange apply`, then `exchange department remove {id_}`"
    if actual.epoch and any(department.id == id_ for department in actual.epoch.contract.departments):
        raise StillNeededError(f"epoch {actual.epoch.number}, which is in force, has {id_}", remedy=remedy)
    who = with_type(id_)
    ours = principals(actual.departments)
    if rules := [rule for rule in actual.access or () if rule.principal == who and owned(rule, ours)]:
        raise StillNeededError(f"{id_} may still {in_words(rules)}", remedy=remedy)


def _all_known(ids: tuple[str, ...] | list[str], known: dict[str, str]) -> list[str]:
    for principal in ids:
        if principal not in known:
            message = f"{principal!r} is no department of the contract"
            raise UnknownPrincipalError(message, remedy=nearest(principal, known))
    return list(dict.fromkeys(ids))


def _file_here(settings: Settings, cluster: Cluster, principal: str) -> str | None:
    with suppress(CredentialsError):  # somebody else's login may have a name that no file of ours can have
        if (path := _file(settings, cluster, principal)).exists():
            return str(path)
    return None


def _file(settings: Settings, cluster: Cluster, principal: str) -> Path:
    """The file that the administrator's own credentials came from is the one that is replaced."""
    if settings.credentials and cluster.security and cluster.security.username == principal:
        return settings.credentials
    return credentials.file_of(settings.home, principal)
