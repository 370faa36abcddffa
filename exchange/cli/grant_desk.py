"""What every command of `exchange grant` takes: for whom a person acts, and completion."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from exchange.errors import ExchangeError
from exchange.grants.desk import Desk
from exchange.grants.life import OPEN
from exchange.settings import Settings

COMMAND = TypeVar("COMMAND", bound=Callable[..., Any])


def with_desk(command: COMMAND) -> COMMAND:
    """Add the option `--department`; the command gets it as part of its `desk`."""

    def run(department: str, **arguments: Any) -> None:
        settings = Settings()
        command(desk=Desk(settings, datetime.now(UTC), department or settings.department), **arguments)

    run.__doc__, run.__name__ = command.__doc__, command.__name__
    run.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined]
    option = click.option("--department", default="", help="For whom you act; default: EXCHANGE_DEPARTMENT.")
    return option(run)  # type: ignore[return-value]


def complete_request(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The numbers of undecided requests, for the shell's completion."""
    try:
        with Desk(Settings(), datetime.now(UTC), "").store() as store:
            return [
                CompletionItem(str(one.number), help=f"{one.grant.reader}: {one.grant.subject}")
                for one in store.requests(states=OPEN)
                if str(one.number).startswith(incomplete)
            ]
    except ExchangeError:
        return []


def complete_grant(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The ids of the contract file's grants, for the shell's completion."""
    try:
        grants = Desk(Settings(), datetime.now(UTC), "").contract().grants
        return [
            CompletionItem(one.id, help=f"{one.reader}: {one.subject}")
            for one in grants
            if one.id.startswith(incomplete)
        ]
    except ExchangeError:
        return []
