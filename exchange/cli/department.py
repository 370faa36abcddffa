"""`exchange department`: who can log in to Kafka, and by which credential file."""

from __future__ import annotations

import click

from exchange.cli.options import confirm, output_option, show_json, yes_option
from exchange.cli.say import say
from exchange.plan import logins
from exchange.settings import Settings


@click.group()
def department() -> None:
    """Give departments and services their logins to Kafka.

    A login is a SCRAM user with a random password. The password is written to a credential file (mode 0600) and shown
    nowhere. `exchange apply` derives from the contract what the login may do.
    """


@department.command()
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--all", "everybody", is_flag=True, help="Every department and service without a login.")
def add(ids: tuple[str, ...], everybody: bool) -> None:
    """Let departments log in, and write their credential files. Safe to run again.

    ID is a department of the contract, or a service: exchange.router, exchange.ledger.
    """
    if not ids and not everybody:
        raise click.UsageError("name a department, or give --all")
    had, written = logins.add(Settings(), None if everybody else ids)
    for principal, file in had.items():
        click.echo(f"{principal}: has {file or 'a login, whose file is not here'}")
    for principal, file in written.items():
        click.echo(f"{principal}: {file} is written")
    if written:
        click.echo("Hand over each file with the broker's CA certificate that it names, and keep no copy of others'.")


@department.command("rotate-credential")
@click.argument("id_", metavar="ID")
def rotate_credential(id_: str) -> None:
    """Replace the password of a department or service, and rewrite its credential file. Safe to run again.

    When this returns, the old password opens no new connection. Connections opened with it last until the broker
    asks for the password again, at most for its connections.max.reauth.ms (the local broker: 15 minutes).
    """
    path = logins.rotate(Settings(), id_)
    click.echo(f"{id_}: {path} is written; nobody can connect with the old password.")
    click.echo(
        f"Restart what runs as {id_} with the new file: its connections end when the broker asks for the "
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
    former = logins.removable(Settings(), id_)
    confirm(f"Remove the login of {id_} for good?", yes=yes, look="`exchange department list`")
    removed = former.remove()
    if output == "json":
        show_json({"principal": id_, "login": removed, "files": former.files})
        return
    click.echo(f"{id_}: {'can no longer log in' if removed else 'had no login'}")
    for file in former.files:
        click.echo(f"{id_}: {file} is deleted")


@department.command("list")
@output_option
def list_(output: str) -> None:
    """Say who can log in, and whose credential file is here."""
    found = logins.logins(Settings())
    if output == "json":
        show_json(found)
        return
    for one in found:
        login = "can log in" if one.login else "no login  "
        say(f"{one.principal:24} {login}  {one.file or '-'}  {one.title}")
