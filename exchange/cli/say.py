"""Prints words for people, which may contain names and texts that someone else chose."""

from __future__ import annotations

import click

from exchange.printable import printable


def say(text: str, fg: str | None = None, *, lines: bool = False, nl: bool = True, err: bool = False) -> None:
    """Print the text in that colour; what would move the cursor or hide something is written out.

    `lines`: the text has line breaks of its own; otherwise a break would come from someone who wants to fake a line.
    """
    click.secho(printable(text, "\n" if lines else ""), fg=fg, nl=nl, err=err)


def counted(number: int, noun: str) -> str:
    """A number and its noun.

    >>> counted(1, "gap"), counted(2000, "gap")
    ('1 gap', '2,000 gaps')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
