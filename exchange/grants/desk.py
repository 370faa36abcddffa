"""A desk: who acts, for which department and when, with the requests and the contract that they act on."""

from __future__ import annotations

import os
import pwd
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from exchange.contract.model import Contract
from exchange.contract.period import city_day
from exchange.errors import ConfigError
from exchange.grants.life import Actor
from exchange.settings import Settings

if TYPE_CHECKING:
    from exchange.grants.history import Event
    from exchange.grants.standing import Standing
    from exchange.grants.store import GrantStore


class NoDepartmentError(ConfigError):
    """The command does not know for which department a person acts."""

    code = "grant-department"
    remedy = "give --department, or set EXCHANGE_DEPARTMENT"


@dataclass(frozen=True)
class Desk:
    """One command's view: its settings, the moment, and for whom it acts."""

    settings: Settings
    now: datetime
    department: str

    @property
    def today(self) -> date:
        """The day in the city."""
        return city_day(self.now)

    @property
    def actor(self) -> Actor:
        """The person who acts, for their department; ConfigError if one of them is not said."""
        if not self.department:
            remedy = "give --department, or set EXCHANGE_DEPARTMENT"
            raise NoDepartmentError("you did not say for which department you act", remedy=remedy)
        return Actor(operator(self.settings), self.department)

    def contract(self) -> Contract:
        """The contract file; ContractError if it has mistakes."""
        from exchange.contract.load import load  # schemas and all: not for a revocation

        return load(self.settings.contract, self.today).contract

    def standings(self, store: GrantStore) -> list[Standing]:
        """Where all requests and grants stand; HolidaysError if the file of public holidays has a mistake."""
        from exchange.grants.standing import standings
        from exchange.workdays import read_calendar

        calendar = read_calendar(self.settings.holidays)
        return list(standings(store.requests(), self.contract(), self.settings.authority, self.today, calendar))

    def look_up(self, store: GrantStore, name: str) -> tuple[list[Standing], list[Event]]:
        """The request of that number, or the grant of that id, and its history; ConfigError if there is neither."""
        everything = self.standings(store)
        found = [o for o in everything if name in (o.grant.id, str(o.request.number if o.request else ""))]
        if not found and name.isdecimal():
            # Approved, and another request stands for the grant now.
            request = store.request(int(name))
            found = [one for one in everything if one.grant.id == request.grant.id]
        history = store.events(found[0].grant.id if found else name)
        if not found and not history:
            raise ConfigError(f"there is no request or grant {name}", remedy="see `exchange grant list`")
        return found, history

    def store(self) -> AbstractContextManager[GrantStore]:
        """The requests, to be closed."""
        from exchange.grants.store import GrantStore, grants_url  # SQL takes its time to load

        return closing(GrantStore(grants_url(self.settings)))


def operator(settings: Settings) -> str:
    """The person who acts: the settings say, or the user's account; not LOGNAME or USER, which anyone can set."""
    if settings.operator:
        return settings.operator
    uid = os.getuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        remedy = "set EXCHANGE_OPERATOR to the person who acts"
        raise ConfigError(f"user {uid} has no account on this machine", remedy=remedy) from None
