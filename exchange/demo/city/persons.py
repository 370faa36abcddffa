"""The registers about persons."""

from __future__ import annotations

import json

import numpy as np

from exchange.demo.city.draw import Draw, at, days, instants, money
from exchange.demo.city.people import PLACES, RELATIONS, TODAY
from exchange.demo.city.register import City, Columns, Register, moment

SURNAMES = "陈李黄张梁林刘吴罗杨何叶谢郭冯邓曾蔡苏钟"
GIVEN = ("伟", "芳", "娜", "敏", "静", "强", "磊", "洋", "艳", "勇", "嘉欣", "子轩", "浩然", "梓晴", "俊杰", "咏诗")
MONTHS = ((2024, 10), (2024, 11), (2024, 12), (2025, 1), (2025, 2), (2025, 3))
QUARTERS = ((2024, 2), (2024, 3), (2024, 4), (2025, 1))
TAX_YEARS = (2022, 2023, 2024)
BASE_LOW, BASE_HIGH = 5_500.0, 27_501.0
"""Bounds of the monthly contribution base, CNY."""


def _household(household: int) -> str:
    return f"HH{household:08d}"


def _resident(city: City, draw: Draw, who: np.ndarray) -> Columns:
    people = city.people
    gone = draw.chance(0.01) & (who != city.witness)
    ended = draw.past(900)
    registered = np.maximum(people.birth[who], TODAY - draw.whole(300, 12_000))
    written = np.where(gone, ended, np.maximum(registered, draw.past(900)))
    households = people.household[who]
    surnames = at(SURNAMES, households % len(SURNAMES))
    return {
        "registration_no": draw.numbers("HJ"),
        "name": [a + b for a, b in zip(surnames, draw.pick(GIVEN), strict=True)],
        "sex": at(("female", "male"), people.male[who].astype(int)),
        "birth_date": days(people.birth[who]),
        "household_id": [_household(h) for h in households.tolist()],
        "relation": at(RELATIONS, people.role[who]),
        "district": at(PLACES, people.place[who]),
        "address": draw.address(),
        "phone": draw.unless(draw.chance(0.2), draw.codes("1390", 7)),
        "registered_on": days(registered),
        "cancelled_on": draw.unless(~gone, days(ended)),
        "updated_at": moment(draw, written),
    }


def _vehicle(city: City, draw: Draw, who: np.ndarray) -> Columns:
    energies = ("petrol", "diesel", "hybrid", "electric")
    energy = draw.rng.choice(4, size=draw.size, p=[0.6, 0.05, 0.1, 0.25])
    first = draw.past(4_000)
    return {
        "plate_no": draw.numbers("粤A", 7),
        "model": draw.pick(("广汽 GS4", "比亚迪 秦", "丰田 凯美瑞", "大众 朗逸", "本田 雅阁", "埃安 S")),
        "kind": draw.pick(("car", "suv", "van", "truck", "motorcycle"), (0.6, 0.25, 0.05, 0.04, 0.06)),
        "energy": at(energies, energy),
        "displacement_ml": draw.unless(energy == 3, (draw.whole(10, 35) * 100).tolist()),
        "first_registered_on": days(first),
        "price": money(np.exp(draw.rng.normal(11.7, 0.5, draw.size))),
        "engine_no": draw.codes("EN", 10),
        "status": draw.pick(("normal", "transferred", "scrapped", "seized"), (0.88, 0.06, 0.05, 0.01)),
        "updated_at": moment(draw, np.maximum(first, draw.past(700))),
    }


def _assistance(city: City, draw: Draw, who: np.ndarray) -> Columns:
    people = city.people
    kinds = ("minimum_living", "extreme_hardship", "low_income", "temporary")
    kind = draw.rng.choice(4, size=draw.size, p=[0.6, 0.1, 0.2, 0.1])
    decided = draw.past(1_200)
    starts = np.searchsorted(people.household, people.household[who])
    ends = np.searchsorted(people.household, people.household[who], side="right")
    years = people.birth.astype("datetime64[Y]").astype(int) + 1970
    members = [
        json.dumps(
            [
                {
                    "relation": RELATIONS[people.role[i]],
                    "birth_year": int(years[i]),
                    "monthly_income": f"{people.wage[i] / 12:.2f}",
                }
                for i in range(start, end)
            ]
        )
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
    ]
    return {
        "case_no": draw.numbers("SA"),
        "household_id": [_household(h) for h in people.household[who].tolist()],
        "kind": at(kinds, kind),
        "monthly_amount": money(draw.whole(400, 1_900)),
        "members": members,
        "decided_on": days(decided),
        "ends_on": draw.unless(kind != 3, days(decided + 180)),
        "bank_account": draw.codes("6228", 12),
        "updated_at": moment(draw, decided),
    }


def _employers(city: City, who: np.ndarray) -> list[str]:
    return at(city.companies.codes, city.companies.employer[np.searchsorted(city.people.workers, who)])


def _income_return(city: City, draw: Draw, who: np.ndarray) -> Columns:
    year = np.array(TAX_YEARS)[draw.row % len(TAX_YEARS)]
    wages = city.people.wage[who] * (1 + 0.04 * (year - 2024)) * draw.rng.uniform(0.97, 1.03, draw.size)
    other = np.where(draw.chance(0.15), np.exp(draw.rng.normal(9.5, 1, draw.size)), 0)
    filed = (year + 1 - 1970).astype("datetime64[Y]").astype("datetime64[D]") + draw.whole(60, 178)
    return {
        "return_no": draw.numbers("IIT"),
        "year": year.tolist(),
        "wages": money(wages),
        "other_income": money(other),
        "tax_paid": money(np.maximum(wages + other - 60_000, 0) * 0.08),
        "agent_code": draw.unless(draw.chance(0.03), _employers(city, who)),
        "bank_account": draw.unless(draw.chance(0.3), draw.codes("6217", 12)),
        "filed_on": days(filed),
        "updated_at": moment(draw, filed),
    }


def _contribution(city: City, draw: Draw, who: np.ndarray) -> Columns:
    year, month = (np.array(part)[draw.row % len(MONTHS)] for part in zip(*MONTHS, strict=True))
    base = np.round(np.clip(city.people.wage[who] / 12, BASE_LOW, BASE_HIGH), 2)
    begin = ((year - 1970) * 12 + month - 1).astype("datetime64[M]").astype("datetime64[D]")
    return {
        "contribution_no": draw.numbers("SI", 10),
        "year": year.tolist(),
        "month": month.tolist(),
        "employer_code": _employers(city, who),
        "base": base.tolist(),
        "pension_employee": money(base * 0.08),
        "pension_employer": money(base * 0.15),
        "medical_employee": money(base * 0.02),
        "medical_employer": money(base * 0.055),
        "account_no": draw.codes("SB", 10),
        "updated_at": moment(draw, begin + draw.whole(15, 28)),
    }


def _pension(city: City, draw: Draw, who: np.ndarray) -> Columns:
    year, quarter = (np.array(part)[draw.row % len(QUARTERS)] for part in zip(*QUARTERS, strict=True))
    begin = ((year - 1970) * 12 + quarter * 3 - 3).astype("datetime64[M]").astype("datetime64[D]")
    employee = draw.chance(0.7)
    return {
        "payment_no": draw.numbers("PN"),
        "year": year.tolist(),
        "quarter": quarter.tolist(),
        "kind": at(("resident", "employee"), employee.astype(int)),
        "monthly_amount": money(np.where(employee, 3_800, 480) * draw.rng.uniform(0.7, 1.6, draw.size)),
        "insured_days": draw.whole(3_000, 14_000).tolist(),
        "bank_account": draw.codes("6222", 12),
        "updated_at": moment(draw, begin + draw.whole(60, 80)),
    }


def _fund_account(city: City, draw: Draw, who: np.ndarray) -> Columns:
    deposit = city.people.wage[who] / 12 * 0.2
    loan = draw.chance(0.25)
    return {
        "account_no": draw.numbers("GJJ"),
        "employer_code": draw.unless(draw.chance(0.04), _employers(city, who)),
        "monthly_deposit": money(deposit),
        "balance": money(deposit * draw.whole(3, 90)),
        "loan_balance": draw.unless(~loan, money(draw.rng.uniform(50_000, 900_000, draw.size))),
        "status": draw.pick(("active", "sealed", "closed"), (0.9, 0.06, 0.04)),
        "bank_account": draw.codes("6236", 12),
        "updated_at": moment(draw, draw.past(500)),
    }


def _property(city: City, draw: Draw, who: np.ndarray) -> Columns:
    uses = ("residential", "commercial", "office", "garage")
    use = draw.rng.choice(4, size=draw.size, p=[0.74, 0.06, 0.05, 0.15])
    area = np.round(np.where(use == 3, 12.5, draw.rng.gamma(9, 10.5, draw.size)), 2)
    registered = draw.past(6_000)
    elsewhere = np.where(draw.chance(0.9), city.people.place[who], draw.whole(0, len(PLACES) - 1))
    return {
        "certificate_no": draw.numbers("BDC"),
        "district": at(PLACES, elsewhere),
        "address": draw.address(),
        "use": at(uses, use),
        "area_m2": area.tolist(),
        "share_percent": draw.rng.choice([100, 50, 34], size=draw.size, p=[0.6, 0.35, 0.05]).tolist(),
        "price": draw.unless(draw.chance(0.12), money(area * draw.rng.uniform(9_000, 60_000, draw.size))),
        "mortgaged": draw.chance(0.3).tolist(),
        "registered_on": days(registered),
        "updated_at": moment(draw, np.maximum(registered, draw.past(800))),
    }


def _quota_application(city: City, draw: Draw, who: np.ndarray) -> Columns:
    submitted = moment(draw, draw.past(400))
    return {
        "application_no": draw.numbers("QA"),
        "kind": draw.pick(("ordinary", "energy_saving", "new_energy"), (0.5, 0.15, 0.35)),
        "district": at(PLACES, city.people.place[who]),
        "submitted_at": instants(submitted),
        "status": draw.pick(("received", "reviewing", "accepted", "refused"), (0.15, 0.15, 0.5, 0.2)),
        "phone": draw.codes("1380", 7),
        "updated_at": submitted + draw.whole(0, 20 * 86_400),
    }


def _disability_card(city: City, draw: Draw, who: np.ndarray) -> Columns:
    issued = draw.past(3_000)
    categories = ("sight", "hearing", "speech", "physical", "intellectual", "mental", "multiple")
    return {
        "card_no": draw.numbers("DC"),
        "category": draw.pick(categories),
        "level": draw.whole(1, 4).tolist(),
        "guardian": draw.unless(draw.chance(0.5), [f"监护人{n:07d}" for n in draw.row.tolist()]),
        "issued_on": days(issued),
        "valid_until": days(issued + 3_652),
        "revoked": draw.chance(0.05).tolist(),
        "updated_at": moment(draw, np.maximum(issued, draw.past(600))),
    }


def _visit(city: City, draw: Draw, who: np.ndarray) -> Columns:
    visited = moment(draw, draw.past(365))
    return {
        "visit_no": draw.numbers("MZ"),
        "hospital": draw.pick(("市第一人民医院", "中山纪念医院", "妇女儿童医疗中心", "中医院")),
        "ward": draw.pick(("内科", "外科", "儿科", "眼科", "急诊")),
        "diagnosis": draw.pick(("J06.9", "K29.7", "I10", "E11.9", "S62.6")),
        "cost": money(np.exp(draw.rng.normal(5.6, 0.9, draw.size))),
        "visited_at": instants(visited),
        "updated_at": visited + draw.whole(600, 86_400),
    }


def _licence(city: City, draw: Draw, who: np.ndarray) -> Columns:
    catalogue = (
        ("ID-RESIDENT", "居民身份证", "11440100MBX01FA1XW"),
        ("DRV-C1", "机动车驾驶证", "11440100MBX01FA1XW"),
        ("QUAL-TEACHER", "教师资格证", "11440100MBX04FA1X4"),
        ("QUAL-ACCOUNTANT", "会计专业技术资格证", "11440100MBX04FA1X4"),
        ("QUAL-BUILDER", "建造师执业资格证", "11440100MBX04FA1X4"),
        ("MAR-CERT", "结婚证", "11440100MBX02FA1XL"),
    )
    chosen = draw.rng.choice(len(catalogue), size=draw.size, p=[0.4, 0.25, 0.08, 0.08, 0.05, 0.14])
    code, title, issuer = zip(*catalogue, strict=True)
    issued = draw.past(3_000)
    revoked = draw.chance(0.03)
    return {
        "licence_no": draw.numbers("EL"),
        "catalogue": at(code, chosen),
        "title": at(title, chosen),
        "issuer": at(issuer, chosen),
        "issued_on": days(issued),
        "valid_until": draw.unless(chosen >= 2, days(issued + 3_652)),
        "revoked_on": draw.unless(~revoked, days(np.minimum(issued + 200, TODAY))),
        "seal_no": draw.codes("SEAL", 9),
        "updated_at": moment(draw, np.maximum(issued, draw.past(900))),
    }


def _poor(city: City) -> np.ndarray:
    """Heads of households whose income per head is below the poverty line."""
    people = city.people
    size = np.bincount(people.household)
    income = np.bincount(people.household, weights=people.wage) / size
    return np.flatnonzero((people.role == 0) & (income[people.household] < 12_000))


PERSONS = (
    Register("police.resident", "resident_id", lambda c: np.arange(len(c.people)), _resident),
    Register("police.vehicle", "resident_id", lambda c: c.sample(c.people.adults, 0.35, 1), _vehicle),
    Register("civil-affairs.assistance", "resident_id", lambda c: c.sample(_poor(c), 0.4, 2), _assistance),
    Register("tax.income-return", "resident_id", lambda c: np.repeat(c.people.workers, len(TAX_YEARS)), _income_return),
    Register(
        "social-security.contribution",
        "resident_id",
        lambda c: np.repeat(c.people.workers, len(MONTHS)),
        _contribution,
    ),
    Register("social-security.pension", "resident_id", lambda c: np.repeat(c.people.retired, len(QUARTERS)), _pension),
    Register("housing-fund.account", "resident_id", lambda c: c.sample(c.people.workers, 0.8, 3), _fund_account),
    Register("planning.property", "resident_id", lambda c: c.sample(c.people.adults, 0.4, 4), _property),
    Register(
        "transport.quota-application", "resident_id", lambda c: c.sample(c.people.adults, 0.12, 5), _quota_application
    ),
    Register(
        "disabled.disability-card",
        "resident_id",
        lambda c: c.sample(np.arange(len(c.people)), 0.03, 6),
        _disability_card,
    ),
    Register("health.visit", "resident_id", lambda c: c.sample(np.arange(len(c.people)), 0.5, 7), _visit),
    Register("data-services.licence", "resident_id", lambda c: c.sample(c.people.adults, 0.7, 8), _licence),
)
