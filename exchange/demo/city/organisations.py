"""The registers about companies."""

from __future__ import annotations

import json

import numpy as np

from exchange.demo.city.draw import Draw, at, days, money
from exchange.demo.city.ids import DISTRICTS
from exchange.demo.city.people import TODAY
from exchange.demo.city.register import City, Columns, Register, moment

RETURNS = tuple((year, quarter) for year in (2023, 2024) for quarter in (1, 2, 3, 4))
INDUSTRIES = ("C13", "C26", "E47", "F51", "F52", "G54", "H62", "I65", "K70", "L72", "M74", "O80")
PERMITS = ("food", "pharmacy", "special_equipment", "tobacco", "hazardous")
GROUNDS = ("虚假宣传", "无证经营", "计量违法", "食品安全", "价格违法", "商标侵权")


def _company(city: City, draw: Draw, who: np.ndarray) -> Columns:
    companies, ids = city.companies, city.people.ids
    leader = at(ids, companies.leader[who])
    partner = at(ids, draw.rng.choice(city.people.adults, size=draw.size))
    share = np.where(draw.chance(0.4), 100.0, np.round(draw.rng.uniform(51, 95, draw.size), 1))
    holders = [
        json.dumps(
            [{"holder_id": a, "share_percent": s}]
            + ([] if s == 100 else [{"holder_id": b, "share_percent": round(100 - s, 1)}])
        )
        for a, b, s in zip(leader, partner, share.tolist(), strict=True)
    ]
    closed = np.where(draw.chance(0.5), "revoked", "cancelled")
    return {
        "registration_no": draw.numbers("GS"),
        "name": [f"穗城{n:06d}号有限公司" for n in who.tolist()],
        "legal_rep_id": leader,
        "status": np.where(companies.active[who], "active", closed).tolist(),
        "industry": draw.pick(INDUSTRIES),
        "district": draw.pick(DISTRICTS),
        "capital": money(np.round(np.exp(draw.rng.normal(13.5, 1.6, draw.size)), -3) + 10_000),
        "founded_on": days(companies.founded[who]),
        "shareholders": holders,
        "contact_phone": draw.unless(draw.chance(0.2), draw.codes("020", 8)),
        "updated_at": moment(draw, np.maximum(companies.founded[who], draw.past(900))),
    }


def _enterprise_return(city: City, draw: Draw, who: np.ndarray) -> Columns:
    companies = city.companies
    year, quarter = (np.array(part)[draw.row % len(RETURNS)] for part in zip(*RETURNS, strict=True))
    turnover = companies.wages[who] / 4 * draw.rng.uniform(1.5, 4, draw.size) + draw.whole(0, 90_000)
    hides = companies.arrears[who] & draw.chance(0.5)
    due = turnover * 0.03
    begin = ((year - 1970) * 12 + quarter * 3).astype("datetime64[M]").astype("datetime64[D]")
    bad = companies.arrears[who]
    status = np.where(draw.chance(0.5), "late", "unfiled")
    return {
        "return_no": draw.numbers("QS"),
        "year": year.tolist(),
        "quarter": quarter.tolist(),
        "turnover": money(turnover),
        "tax_due": money(due),
        "tax_paid": money(np.where(bad, due * 0.6, due)),
        "employees": np.where(hides, companies.headcount[who] // 2, companies.headcount[who]).tolist(),
        "status": np.where(draw.chance(0.03) | (bad & draw.chance(0.3)), status, "filed").tolist(),
        "contact_phone": draw.unless(draw.chance(0.1), draw.codes("020", 8)),
        "updated_at": moment(draw, begin + draw.whole(1, 60)),
    }


def _arrears(city: City, draw: Draw, who: np.ndarray) -> Columns:
    since = draw.past(1_000)
    return {
        "notice_no": draw.numbers("QSGG"),
        "tax_kind": draw.pick(("vat", "income", "land", "other"), (0.6, 0.25, 0.05, 0.1)),
        "amount": money(np.exp(draw.rng.normal(10.5, 1.2, draw.size))),
        "since": days(since),
        "settled": draw.chance(0.4).tolist(),
        "updated_at": moment(draw, np.maximum(since, draw.past(400))),
    }


def _land_transfer(city: City, draw: Draw, who: np.ndarray) -> Columns:
    area = np.round(draw.rng.gamma(2, 4_000, draw.size) + 200, 1)
    signed = draw.past(1_500)
    return {
        "contract_no": draw.numbers("TD"),
        "parcel_no": draw.codes("P", 8),
        "district": draw.pick(DISTRICTS),
        "use": draw.pick(("residential", "commercial", "industrial", "public")),
        "area_m2": area.tolist(),
        "price": money(area * draw.rng.uniform(2_000, 30_000, draw.size)),
        "signed_on": days(signed),
        "updated_at": moment(draw, signed),
    }


def _permit(city: City, draw: Draw, who: np.ndarray) -> Columns:
    issued = draw.past(2_500)
    endless = draw.chance(0.15)
    expired = ~endless & (issued + 1_826 < TODAY)
    state = np.where(expired, "expired", np.where(draw.chance(0.03), "revoked", "valid"))
    return {
        "permit_no": draw.numbers("XK"),
        "kind": draw.pick(
            ("food", "pharmacy", "special_equipment", "tobacco", "hazardous"), (0.6, 0.1, 0.1, 0.15, 0.05)
        ),
        "issued_on": days(issued),
        "valid_until": draw.unless(endless, days(issued + 1_826)),
        "status": state.tolist(),
        "updated_at": moment(draw, np.maximum(issued, draw.past(500))),
    }


def _penalty(city: City, draw: Draw, who: np.ndarray) -> Columns:
    decided = draw.past(1_200)
    return {
        "decision_no": draw.numbers("CF"),
        "ground": draw.pick(GROUNDS),
        "kind": draw.pick(("warning", "fine", "confiscation", "suspension", "revocation"), (0.2, 0.6, 0.1, 0.06, 0.04)),
        "amount": draw.unless(draw.chance(0.25), money(np.exp(draw.rng.normal(8.5, 1.1, draw.size)))),
        "decided_on": days(decided),
        "published": draw.chance(0.9).tolist(),
        "handler": draw.codes("GZ", 6),
        "updated_at": moment(draw, decided),
    }


def _pollution(city: City, draw: Draw, who: np.ndarray) -> Columns:
    decided = draw.past(1_200)
    return {
        "decision_no": draw.numbers("HB"),
        "pollutant": draw.pick(("water", "air", "noise", "waste")),
        "fine": money(np.exp(draw.rng.normal(10, 0.9, draw.size))),
        "decided_on": days(decided),
        "rectified": draw.chance(0.7).tolist(),
        "informant": draw.unless(draw.chance(0.4), draw.codes("群众", 7)),
        "updated_at": moment(draw, decided),
    }


def _rating(city: City, draw: Draw, who: np.ndarray) -> Columns:
    companies = city.companies
    facts = np.stack([companies.penalties[who] > 0, companies.pollutions[who] > 0, companies.arrears[who]], axis=1)
    score = np.clip(np.round(96 - facts @ np.array([14, 12, 22]) - draw.rng.gamma(2, 3, draw.size), 1), 0, 100)
    words = ("penalties", "pollution", "arrears")
    return {
        "rating_no": draw.numbers("PJ"),
        "year": np.full(draw.size, 2024).tolist(),
        "score": score.tolist(),
        "grade": at("DCBA", np.digitize(score, [50, 65, 80])),
        "reasons": [";".join(w for w, yes in zip(words, row, strict=True) if yes) for row in facts.tolist()],
        "published": draw.chance(0.8).tolist(),
        "updated_at": moment(draw, np.datetime64("2025-03-01") + draw.whole(0, 60)),
    }


def _registration(city: City, draw: Draw, who: np.ndarray) -> Columns:
    registered = np.minimum(city.companies.founded[who] + draw.whole(1, 60), TODAY)
    return {
        "registration_no": draw.numbers("SW"),
        "registered_on": days(registered),
        "scale": draw.pick(("general", "small"), (0.2, 0.8)),
        "status": np.where(city.companies.active[who], "active", "cancelled").tolist(),
        "updated_at": moment(draw, np.maximum(registered, draw.past(900))),
    }


def _equity_transfer(city: City, draw: Draw, who: np.ndarray) -> Columns:
    agreed = draw.past(900)
    buyer = at(city.people.ids, draw.rng.choice(city.people.adults, size=draw.size))
    cost = np.exp(draw.rng.normal(12, 1, draw.size))
    return {
        "transfer_no": draw.numbers("GQ"),
        "seller_id": at(city.people.ids, city.companies.leader[who]),
        "buyer_id": buyer,
        "share_percent": draw.rng.choice([5.0, 10.0, 20.0, 49.0], size=draw.size).tolist(),
        "price": money(cost * draw.rng.uniform(0.6, 2.5, draw.size)),
        "cost": money(cost),
        "agreed_on": days(agreed),
        "updated_at": moment(draw, agreed),
    }


def _vehicle(city: City, draw: Draw, who: np.ndarray) -> Columns:
    first = draw.past(3_000)
    return {
        "plate_no": draw.numbers("粤B", 7),
        "kind": draw.pick(("car", "suv", "van", "truck"), (0.3, 0.1, 0.3, 0.3)),
        "first_registered_on": days(first),
        "price": money(np.exp(draw.rng.normal(11.9, 0.5, draw.size))),
        "status": draw.pick(("normal", "transferred", "scrapped"), (0.9, 0.06, 0.04)),
        "updated_at": moment(draw, np.maximum(first, draw.past(700))),
    }


def _property(city: City, draw: Draw, who: np.ndarray) -> Columns:
    registered = draw.past(5_000)
    return {
        "certificate_no": draw.numbers("BDCD"),
        "district": draw.pick(DISTRICTS),
        "use": draw.pick(("residential", "commercial", "office", "industrial"), (0.1, 0.4, 0.3, 0.2)),
        "area_m2": np.round(draw.rng.gamma(2, 400, draw.size) + 30, 2).tolist(),
        "share_percent": draw.rng.choice([100, 50], size=draw.size, p=[0.9, 0.1]).tolist(),
        "registered_on": days(registered),
        "updated_at": moment(draw, np.maximum(registered, draw.past(800))),
    }


def _each(city: City, share: float, salt: int) -> np.ndarray:
    rng = np.random.default_rng([city.seed, 5, salt])
    return np.flatnonzero(rng.random(len(city.companies)) < share)


def _all(city: City, times: int = 1) -> np.ndarray:
    return np.repeat(np.arange(len(city.companies)), times)


def _counted(counts: np.ndarray) -> np.ndarray:
    return np.repeat(np.arange(len(counts)), counts)


ORGANISATIONS = (
    Register("market.company", "credit_code", _all, _company),
    Register("tax.enterprise-return", "credit_code", lambda c: _all(c, len(RETURNS)), _enterprise_return),
    Register("tax.arrears", "credit_code", lambda c: np.flatnonzero(c.companies.arrears), _arrears),
    Register("planning.land-transfer", "credit_code", lambda c: _each(c, 0.1, 1), _land_transfer),
    Register("market.permit", "credit_code", lambda c: np.r_[_all(c), _each(c, 0.2, 2)], _permit),
    Register("market.penalty", "credit_code", lambda c: _counted(c.companies.penalties), _penalty),
    Register("ecology.penalty", "credit_code", lambda c: _counted(c.companies.pollutions), _pollution),
    Register("credit.rating", "credit_code", _all, _rating),
    Register("tax.registration", "credit_code", lambda c: _each(c, 0.95, 3), _registration),
    Register("market.equity-transfer", "credit_code", lambda c: _each(c, 0.08, 4), _equity_transfer),
    Register("police.organisation-vehicle", "credit_code", lambda c: _each(c, 0.4, 5), _vehicle),
    Register("planning.organisation-property", "credit_code", lambda c: _each(c, 0.3, 6), _property),
)
