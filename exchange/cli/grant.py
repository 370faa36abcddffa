"""`exchange grant`: the life of a grant, from a request to its end; each command is imported when it is used."""

from __future__ import annotations

import click

from exchange.cli.main import LazyGroup

# name → (module:attribute, help for the list of commands)
_COMMANDS = {
    "explain": ("exchange.cli.grant_explain:explain", "Say for one record and one reader: delivered or not, and why."),
    "replay": ("exchange.cli.grant_replay:replay", "Deliver again, or for the first time, from the retained source."),
    "simulate": ("exchange.cli.grant_simulate:simulate", "Run a draft grant over retained records; deliver nothing."),
}


@click.group(cls=LazyGroup, lazy=_COMMANDS)
def grant() -> None:
    """Request, decide, renew and revoke grants; replay, simulate and explain what they give."""
