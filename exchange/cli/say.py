"""Words for people, which may hold names and texts that somebody else chose."""

from __future__ import annotations

import click

from exchange.printable import printable


def say(text: str, fg: str | None = None, *, lines: bool = False, nl: bool = True, err: bool = False) -> None:
    """Print it in that colour, with what would move the cursor or hide something written out.

    `lines`: it has line breaks of its own; otherwise a break would be somebody's who wants to say more.
    """
    click.secho(printable(text, "\n" if lines else ""), fg=fg, nl=nl, err=err)


def counted(number: int, noun: str) -> str:
    """Number and noun.

    >>> counted(1, "gap"), counted(2000, "gap")
    ('1 gap', '2,000 gaps')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
