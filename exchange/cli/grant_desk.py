"""What every command of `exchange grant` needs: who acts, the store, the contract, completion."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from exchange.contract.model import Contract
from exchange.contract.period import city_day
from exchange.errors import ConfigError, ExchangeError
from exchange.grants.life import OPEN, Actor
from exchange.settings import Settings

if TYPE_CHECKING:
    from exchange.grants.standing import Standing
    from exchange.grants.store import GrantStore

COMMAND = TypeVar("COMMAND", bound=Callable[..., Any])


class NoDepartmentError(ConfigError):
    """A command does not know for which department a person acts."""

    code = "grant-department"
    remedy = "give --department, or set EXCHANGE_DEPARTMENT"


@dataclass(frozen=True)
class Desk:
    """What a command works with: its settings, the moment, and the department for which it acts."""

    settings: Settings
    now: datetime
    department: str

    @property
    def today(self) -> date:
        """The day in the city."""
        return city_day(self.now)

    @property
    def actor(self) -> Actor:
        """The person who acts, and their department; raises ConfigError if one of them is unknown."""
        if not self.department:
            remedy = "give --department, or set EXCHANGE_DEPARTMENT"
            raise NoDepartmentError("it is not said for which department you act", remedy=remedy)
        return Actor(self.settings.operator or account(), self.department)

    def contract(self) -> Contract:
        """The contract file; raises ContractError if it has mistakes."""
        from exchange.contract.load import load  # it loads all that reads schemas; a revocation does not need it

        return load(self.settings.contract, self.today).contract

    def standings(self, store: GrantStore) -> list[Standing]:
        """Where all requests and grants stand; raises HolidaysError if the file of public holidays has a mistake."""
        from exchange.grants.days import read_calendar
        from exchange.grants.standing import standings

        calendar = read_calendar(self.settings.holidays)
        return list(standings(store.requests(), self.contract(), self.settings.authority, self.today, calendar))

    def store(self) -> AbstractContextManager[GrantStore]:
        """The store of requests, to be used in a `with` block."""
        from exchange.grants.store import GrantStore, grants_url  # loading SQL takes a while

        return closing(GrantStore(grants_url(self.settings)))


def account() -> str:
    """The name of the user's account; not from LOGNAME or USER, which anyone can set for a moment."""
    uid = os.getuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        remedy = "set EXCHANGE_OPERATOR to the person who acts"
        raise ConfigError(f"user {uid} has no account on this machine", remedy=remedy) from None


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
