"""The command `exchange`: finds the subcommand, imports only that, and turns errors into exit statuses."""

from __future__ import annotations

import gc
import logging
import os
import sys
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from exchange.cli import streams
from exchange.cli.say import say
from exchange.errors import ExchangeError

# name → (module:attribute, help for the list of commands)
_COMMANDS = {
    "apply": ("exchange.cli.contract:apply", "Make the cluster what the contract says, and publish the next epoch."),
    "audit": (
        "exchange.cli.ledger:audit",
        "Ask the ledger: what was exchanged, does it balance, who got whose records.",
    ),
    "broker": ("exchange.cli.broker:broker", "Start, stop and look at the local Kafka."),
    "case": ("exchange.cli.case:case", "Ask about the parties of a case across departments, and answer."),
    "city": ("exchange.demo.city_commands:city", "Make the databases of a fictional city."),
    "connector": ("exchange.cli.connect:connector", "Move a department's records between its databases and Kafka."),
    "demo": ("exchange.demo.commands:demo", "Run the whole exchange once, and show the result."),
    "department": ("exchange.cli.department:department", "Give departments and services their logins to Kafka."),
    "down": ("exchange.demo.commands:down", "Stop what `exchange up` started."),
    "drift": ("exchange.cli.drift:drift", "Say how the cluster differs from the contract."),
    "grant": ("exchange.cli.grant:grant", "Request, decide, renew and revoke grants; replay, simulate, explain."),
    "import": ("exchange.cli.importing:import_", "Write a first contract for what a cluster already has."),
    "ledger": ("exchange.cli.ledger:ledger", "Keep the ledger in SQL."),
    "monitoring": ("exchange.cli.monitoring:monitoring", "Write Grafana's dashboards and Prometheus' alert rules."),
    "plan": ("exchange.cli.contract:plan", "Show the difference between the contract and the cluster."),
    "router": ("exchange.cli.router:router", "Deliver records to the readers that have a grant."),
    "schema": ("exchange.cli.contract:schema", "Write the contract's JSON Schema for editors."),
    "status": ("exchange.demo.commands:status", "Say which daemons run, and where their metrics are."),
    "up": ("exchange.demo.commands:up", "Run the whole exchange until `exchange down`."),
    "validate": ("exchange.cli.contract:validate", "Check the contract: every mistake with its place and remedy."),
}


_DEMO = "exchange.demo"
if find_spec(_DEMO) is None:  # the wheel does not contain it
    _COMMANDS = {name: entry for name, entry in _COMMANDS.items() if not entry[0].startswith(_DEMO)}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used, so that `--help` is quick."""

    def __init__(self, *args: object, lazy: Mapping[str, tuple[str, str]], **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *self._lazy])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._lazy:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = self._lazy[cmd_name][0].partition(":")
        gc.disable()  # modules stay loaded: searching them for garbage would take an eighth of the loading time
        try:
            command = getattr(import_module(module), attribute)
        finally:
            gc.freeze()
            gc.enable()
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, text) for name, (_, text) in self._lazy.items()]
        rows += [(name, command.get_short_help_str(80)) for name, command in self.commands.items()]
        with formatter.section("Commands"):
            formatter.write_dl(sorted(rows))


@click.group(cls=LazyGroup, lazy=_COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="exchange")
def exchange() -> None:
    """Cross-department data exchange on Kafka: only what a grant allows, and all of it in the ledger.

    Settings come from the environment (EXCHANGE_BOOTSTRAP_SERVERS, EXCHANGE_HOME …).
    """


@exchange.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the shell's completion script.

    For bash: eval "$(exchange completion bash)"
    """
    completer = get_completion_class(shell)
    assert completer is not None
    click.echo(completer(exchange, {}, "exchange", "_EXCHANGE_COMPLETE").source())


def main() -> None:
    """Run the command line; an `ExchangeError` becomes a message, a remedy and its exit status."""
    streams.prepare()
    if not os.access(Path(__file__).parents[1] / "records", os.W_OK):
        from exchange.settings import place_kernels  # loading it takes a tenth of a second

        place_kernels()
    # Commands speak through click; log lines of libraries are for daemons, see exchange/logs.py.
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        try:
            exchange(prog_name="exchange")
        finally:
            sys.stdout.flush()
    except ExchangeError as error:
        sys.exit(_report(error))
    finally:
        gc.freeze()  # the process ends now: no last search for garbage through every module


def _report(error: ExchangeError) -> int:
    say(f"error [{error.code}]: {error.message}", "red", lines=True, err=True)
    if error.remedy:
        say(f"remedy: {error.remedy}", err=True)
    return error.exit_status
