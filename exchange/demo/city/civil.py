"""The registers of what persons sign, and of what is certified of them: contracts, deed tax, marriages, deaths."""

from __future__ import annotations

import numpy as np

from exchange.demo.city.draw import Draw, at, days, money
from exchange.demo.city.people import PLACES, RELATIONS
from exchange.demo.city.register import City, Columns, Register, moment


def _contract(city: City, draw: Draw, who: np.ndarray) -> Columns:
    area = np.round(draw.rng.gamma(9, 10.5, draw.size), 2)
    signed = draw.past(900)
    seller = draw.rng.choice(city.people.adults, size=draw.size)
    return {
        "contract_no": [_contract_no(n) for n in draw.row.tolist()],
        "seller_id": at(city.people.ids, seller),
        "district": draw.pick(PLACES),
        "area_m2": area.tolist(),
        "price": money(area * draw.rng.uniform(9_000, 60_000, draw.size)),
        "signed_on": days(signed),
        "updated_at": moment(draw, signed),
    }


def _contract_no(row: int) -> str:
    return f"HT{row:09d}"


def _buyers(city: City) -> np.ndarray:
    return city.sample(city.people.adults, 0.05, 9)


def _paid(city: City) -> np.ndarray:
    """The contracts, by row, of which deed tax was paid, or that are exempt."""
    rng = np.random.default_rng([city.seed, 3, 10])
    return np.flatnonzero(rng.random(len(_buyers(city))) < 0.85)


def _deed_payment(city: City, draw: Draw, who: np.ndarray) -> Columns:
    paid = draw.past(800)
    is_exempt = draw.chance(0.05)
    return {
        "payment_no": draw.numbers("QSP"),
        "contract_no": [_contract_no(n) for n in _paid(city)[draw.row].tolist()],
        "amount": money(np.where(is_exempt, 0, np.exp(draw.rng.normal(10, 0.6, draw.size)))),
        "exempt": draw.unless(~is_exempt, draw.pick(("spouse", "heir"))),
        "paid_on": days(paid),
        "updated_at": moment(draw, paid),
    }


def _spouses(city: City) -> np.ndarray:
    return np.flatnonzero(np.array(RELATIONS)[city.people.role] == "spouse")


def _marriage(city: City, draw: Draw, who: np.ndarray) -> Columns:
    registered = draw.past(9_000)
    heads = np.searchsorted(city.people.household, city.people.household[who])
    return {
        "certificate_no": draw.numbers("JH"),
        "spouse_id": at(city.people.ids, heads),
        "status": draw.pick(("married", "divorced"), (0.97, 0.03)),
        "registered_on": days(registered),
        "updated_at": moment(draw, np.maximum(registered, draw.past(900))),
    }


def _dead(city: City) -> np.ndarray:
    """Old people of whose death a hospital knows."""
    rng = np.random.default_rng([city.seed, 3, 11])
    return np.flatnonzero((city.people.age > 70) & (rng.random(len(city.people)) < 0.05))


def _death(city: City, draw: Draw, who: np.ndarray) -> Columns:
    died = draw.past(300)
    return {
        "certificate_no": draw.numbers("SW"),
        "died_on": days(died),
        "cause": draw.unless(draw.chance(0.1), draw.pick(("I21.9", "I63.9", "C34.9", "J18.9"))),
        "updated_at": moment(draw, died),
    }


CIVIL = (
    Register("planning.sale-contract", "resident_id", _buyers, _contract),
    Register("tax.deed-payment", "resident_id", lambda c: _buyers(c)[_paid(c)], _deed_payment),
    Register("civil-affairs.marriage", "resident_id", _spouses, _marriage),
    Register("health.death", "resident_id", _dead, _death),
)
