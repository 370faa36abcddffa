"""Planted applicants for car quotas, persons and units: each trap beside its counter-example."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from exchange.demo.city.planted import REGION, PlantedCase, Row, months_before

DAY = date(2018, 7, 13)
_FOREVER = date(2099, 12, 31)
_ELSEWHERE = "4403"


def _person(number: int, story: str, outcome: str, failed: str = "", *, hukou: bool = False) -> PlantedCase:
    """Somebody with valid documents."""
    case = PlantedCase(f"QP-{number:02d}", story, DAY, (f"何{'甲乙丙丁戊己庚辛'[number - 1]}",), outcome, type="quota")
    case = replace(case, values={"failed": failed})
    case = case.also("identity_document", (1, _FOREVER)).also("driving_licence", (1, _FOREVER))
    return case.also("residence", (1, "hukou")) if hukou else case.also("residence", (1, "permit"))


def _insured(count: int, city: str = REGION) -> list[Row]:
    return [(1, city, month) for month in months_before(DAY, count)]


def _unit(number: int, story: str, outcome: str, failed: str = "", *, is_institution: bool = False) -> PlantedCase:
    case = PlantedCase(f"QU-{number:02d}", story, DAY, (f"穗城{'甲乙丙丁'[number - 1]}公司",), outcome)
    case = replace(case, type="quota-unit", values={"failed": failed}, is_unit=True)
    return case.also("organisation", (1, "valid", int(is_institution)))


APPLICANTS = (
    _person(1, "registered here, and nothing against it", "eligible", hukou=True),
    _person(2, "insured here for 24 months in 3 years", "eligible").also("insured_month", *_insured(24)),
    _person(3, "23 months, one of them paid twice, and a year in another city", "excluded", "lives").also(
        "insured_month", *_insured(23), *_insured(1), *_insured(12, _ELSEWHERE)
    ),
    _person(4, "one car scrapped and one stolen", "eligible", hukou=True).also(
        "owned_car", (1, 0, "scrapped"), (1, 0, "stolen")
    ),
    _person(5, "a car, a quota, and one from the lottery unused", "excluded", "cars quotas unused", hukou=True)
    .also("owned_car", (1, 0, "registered"))
    .also("quota", (1, "held"))
    .also("lottery_win", (1, date(2017, 12, 26), 0)),
    _person(6, "from Macao, here for 9 months of each of the last two years", "eligible")
    .also("outsider", (1, "Macao"))
    .also("stay", *((1, month) for skip in (0, 12) for month in months_before(DAY, 9, skip))),
    _person(7, "the same with 8 months of the last year", "excluded", "lives")
    .also("outsider", (1, "Macao"))
    .also("stay", *((1, month) for months, skip in ((8, 0), (9, 12)) for month in months_before(DAY, months, skip))),
    _person(8, "serves here as a soldier", "eligible").also("soldier", (1,)),
    _unit(1, "10,000.00 of tax in a year", "eligible").also("tax_paid", (1, date(2018, 1, 1), 10_000_00)),
    _unit(2, "9,999.99 of tax in a year", "excluded", "tax").also("tax_paid", (1, date(2018, 1, 1), 9_999_99)),
    _unit(3, "a large investment, and no tax", "eligible").also("large_investment", (1, date(2017, 11, 8))),
    _unit(4, "an institution by its registration", "eligible", is_institution=True),
)
