"""Words for people, which may hold names and texts that somebody else chose."""

from __future__ import annotations

import sys

import click

from exchange.errors import ConfigError
from exchange.printable import printable


def say(text: str, fg: str | None = None, *, lines: bool = False, nl: bool = True, err: bool = False) -> None:
    """Print it in that colour, with what would move the cursor or hide something written out.

    `lines`: it has line breaks of its own; otherwise a break would be somebody's who wants to say more.
    """
    click.secho(printable(text, "\n" if lines else ""), fg=fg, nl=nl, err=err)


def confirm(question: str, *, yes: bool, look: str) -> None:
    """Return if the person agrees, or did so beforehand (`yes`); ConfigError where nobody is there to ask.

    `look` is the command that shows what would be done.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError("nobody is here to ask", remedy=f"look at `{look}`, then run this with --yes")
    click.confirm(question, abort=True)
