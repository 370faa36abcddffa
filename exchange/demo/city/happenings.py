"""What happens in the city after the first delivery: which rows change, and to what; drawn once for all departments."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from exchange.demo.city.draw import Draw, at, money
from exchange.demo.city.people import PLACES, TODAY
from exchange.demo.city.register import City, Columns, Register

DEATHS = 0.01
"""The share of the residents who die."""
LEFT_BY_THE_DEAD = ("police.resident", "police.vehicle", "planning.property", "disabled.disability-card")
"""The subjects whose rows of a person are deleted when the person dies."""
DELETIONS: Mapping[str, float] = {
    "police.vehicle": 0.005,
    "planning.property": 0.02,
    "market.permit": 0.02,
    "disabled.disability-card": 0.01,
}
"""The share of a subject's rows that are deleted for other reasons; few enough at once for the connectors' brake."""


@dataclass(frozen=True)
class Happening:
    """One kind of thing that happens: the share of the subject's rows, and the new values of some columns.

    `columns` gets the resident or company that each row is about. `sells` says that the entity itself changes, so that
    the row gets another key.
    """

    subject: str
    share: float
    columns: Callable[[City, Draw, np.ndarray], Columns]
    sells: bool = False


@dataclass(frozen=True)
class Planned:
    """What happens to one register: ids of rows with their new values, ids of sold ones, ids of those deleted."""

    updates: Sequence[tuple[Sequence[int], Columns]]
    sold: Sequence[int]
    deleted: Sequence[int]

    @property
    def updated(self) -> int:
        """The number of rows that get other values; no row is changed twice, and none that is deleted."""
        return sum(len(ids) for ids, _ in self.updates)


def dead(city: City, registers: Sequence[Register], spared: Mapping[str, Collection[int]]) -> np.ndarray:
    """The residents who die: never the witness, nor anyone whom a spared row, subject → ids, is about."""
    rng = np.random.default_rng([city.seed, 6])
    chosen = np.flatnonzero(rng.random(len(city.people)) < DEATHS)
    keep = [city.witness]
    for register in registers:
        if register.subject in LEFT_BY_THE_DEAD:
            keep += register.who(city)[np.array(sorted(spared[register.subject]), int) - 1].tolist()
    return np.setdiff1d(chosen, keep)


def planned(city: City, register: Register, died: np.ndarray, spared: Collection[int]) -> Planned:
    """What happens to the register's rows, those `spared` excepted; the same however often it is asked."""
    who = register.who(city)
    rng = np.random.default_rng([city.seed, 7, zlib.crc32(register.subject.encode())])
    gone = np.isin(who, died) if register.subject in LEFT_BY_THE_DEAD else np.zeros(len(who), bool)
    free = np.flatnonzero(~gone)
    free = rng.permutation(free[~np.isin(free + 1, list(spared))])
    shares = iter(_parts(free, len(who), register.subject))
    deleted = np.r_[np.flatnonzero(gone), next(shares)]
    updates: list[tuple[Sequence[int], Columns]] = []
    sold: list[int] = []
    for happening, rows in zip(_of(register.subject), shares, strict=True):
        ids = (rows + 1).tolist()
        updates.append((ids, happening.columns(city, Draw(rng, 0, len(rows)), who[rows])))
        sold += ids if happening.sells else []
    return Planned(updates, sold, (deleted + 1).tolist())


def _of(subject: str) -> list[Happening]:
    return [happening for happening in HAPPENINGS if happening.subject == subject]


def _parts(rows: np.ndarray, of: int, subject: str) -> Iterator[np.ndarray]:
    """The rows that are deleted, and then those of each happening; at least one of each."""
    first = 0
    for share in (DELETIONS.get(subject, 0.0), *(happening.share for happening in _of(subject))):
        size = max(1, round(share * of)) if share else 0
        yield rows[first : first + size]
        first += size


def _each(**values: Any) -> Callable[[City, Draw, np.ndarray], Columns]:
    """The same new values for every row."""
    return lambda city, draw, who: {name: [value] * draw.size for name, value in values.items()}


def _moved(city: City, draw: Draw, who: np.ndarray) -> Columns:
    return {"district": at(PLACES, draw.whole(0, len(PLACES) - 1)), "address": draw.address()}


def _buyers(city: City, draw: Draw, who: np.ndarray) -> Columns:
    adults = city.people.adults
    chosen = draw.whole(0, len(adults) - 1)
    chosen = np.where(adults[chosen] == who, (chosen + 1) % len(adults), chosen)
    return {"resident_id": at(city.people.ids, adults[chosen])}


def _corrected(name: str) -> Callable[[City, Draw, np.ndarray], Columns]:
    """An amount that was wrong."""
    return lambda city, draw, who: {name: money(draw.rng.uniform(1_000, 90_000, draw.size))}


HAPPENINGS = (
    Happening("police.resident", 0.03, _moved),
    Happening("police.resident", 0.01, lambda c, d, who: {"name": [f"更名{n:06d}" for n in d.row.tolist()]}),
    Happening("police.resident", 0.005, _each(cancelled_on=TODAY.item())),
    Happening("police.vehicle", 0.02, _buyers, sells=True),
    Happening("police.vehicle", 0.05, _each(status="scrapped")),
    Happening("police.vehicle", 0.02, _each(status="seized")),
    Happening("police.vehicle", 0.02, _each(status="normal")),
    Happening("civil-affairs.assistance", 0.05, _corrected("monthly_amount")),
    Happening("tax.income-return", 0.01, _corrected("other_income")),
    Happening("tax.enterprise-return", 0.02, _each(status="filed")),
    Happening("tax.enterprise-return", 0.02, _each(status="late")),
    Happening("tax.arrears", 0.1, _each(settled=True)),
    Happening("social-security.contribution", 0.005, _corrected("base")),
    Happening("social-security.pension", 0.01, _corrected("monthly_amount")),
    Happening("housing-fund.account", 0.03, _each(status="closed")),
    Happening("housing-fund.account", 0.02, _each(status="sealed")),
    Happening("housing-fund.account", 0.02, _each(status="active")),
    Happening("planning.property", 0.02, lambda c, d, who: {"use": d.pick(("residential", "commercial", "office"))}),
    Happening("civil-affairs.marriage", 0.01, _each(status="divorced")),
    Happening("tax.registration", 0.03, _each(status="cancelled")),
    Happening("market.company", 0.05, _each(status="cancelled")),
    Happening("market.permit", 0.03, _each(status="revoked")),
    Happening("market.penalty", 0.1, _each(published=False)),
    Happening("ecology.penalty", 0.1, _each(rectified=True)),
    Happening("transport.quota-application", 0.05, _each(status="accepted")),
    Happening("transport.quota-application", 0.05, _each(status="refused")),
    Happening("disabled.disability-card", 0.03, _each(revoked=True)),
    Happening("data-services.licence", 0.01, _each(revoked_on=TODAY.item())),
    Happening("credit.rating", 0.05, _each(grade="D")),
)
