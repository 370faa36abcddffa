"""Planted households that apply for aid: each trap beside its counter-example."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from exchange.demo.city.planted import PlantedCase, Row, months_before

DAY, LATER = date(2016, 6, 15), date(2020, 6, 15)
"""Days with a standard of 840 and of 1,080."""
_AID = {"head": "800.00", "aid": "120.00"}
_FLAT: Row = ("C1", "F1", 1, 1, 1, 60, "home")


def _household(number: int, story: str, outcome: str | None, *states: str, **values: str) -> PlantedCase:
    """Persons as the register has them: a state and a marriage each."""
    names = tuple("陈李黄张梁林"[number % 6] + given for given in "一二三"[: len(states)])
    case = PlantedCase(f"HH-{number:02d}", story, DAY, names, outcome, values)
    return case.also("civil_status", *((n, *state.split()) for n, state in enumerate(states, 1)))


def _family(number: int, story: str, outcome: str | None, **values: str) -> PlantedCase:
    """Parents and a child, who live on one wage."""
    people = ("alive married", "alive married", "alive single")
    return _household(number, story, outcome, *people, **values).monthly("wage", 1, 2400_00)


def _pensioner(number: int, story: str, outcome: str) -> PlantedCase:
    case = replace(_household(number, story, outcome, "alive single", head="1200.00"), day=LATER)
    return case.monthly("pension_month", 1, 1200_00)


_WRONG_WAGE = _family(15, "the tax service had 2,600, which was wrong; after an objection", "eligible", **_AID)

HOUSEHOLDS = (
    _family(1, "three people live on one wage of 2,400", "eligible", **_AID),
    _family(2, "the same, and they own a car", "ineligible").also("owned_car", (1, 0, "registered")),
    _family(3, "the same, and they sold their car", "eligible", **_AID).also("owned_car", (1, 0, "cancelled")),
    _family(4, "an adapted car, whose owner has a disability card", "eligible", **_AID)
    .also("owned_car", (1, 1, "registered"))
    .also("card_holder", (1, "valid")),
    _household(
        5,
        "the grandfather is dead, and his pension is still paid",
        "ineligible",
        *("alive married", "alive married", "dead widowed"),
        head="1200.00",
    )
    .monthly("wage", 1, 2400_00)
    .monthly("pension_month", 3, 480_00),
    _family(6, "part-time, insured at the floor base of 5,500", "eligible", **_AID).monthly(
        "insured_base", 1, 5500_00, 5500_00
    ),
    _household(7, "28,800 earned last year, and nothing since", "eligible", "alive single", aid="840.00")
    .also("yearly_return", (1, 2015, 28800_00))
    .also("wage", *((1, month, 2400_00) for month in months_before(DAY, 6, skip=5))),
    _family(8, "a court divorced them, and the register does not know", "to_a_person").also("judgment", (1, "divorce")),
    _family(9, "a flat, and a third of another", "eligible", **_AID).also(
        "certificate", _FLAT, ("C2", "F2", 1, 1, 3, 60, "home")
    ),
    _family(10, "one flat with two certificates", "eligible", **_AID).also(
        "certificate", _FLAT, ("C2", "F1", 1, 1, 1, 60, "home")
    ),
    _family(11, "two flats", "ineligible").also("certificate", _FLAT, ("C2", "F2", 2, 1, 1, 60, "home")),
    _household(12, "more in the bank than 24 times the standard", "ineligible", "alive single").also(
        "deposit", (1, 20160_01)
    ),
    replace(
        _family(13, "the bank writes a name otherwise, and a person there looked", "eligible", **_AID),
        known_as={("banking", 1): "李壹"},
    ).also("deposit", (1, 100_00)),
    replace(
        _family(14, "the bank writes a name otherwise, and nobody has looked yet", None),
        known_as={("banking", 1): "黄壹"},
    ).also("deposit", (1, 100_00)),
    replace(
        _WRONG_WAGE,
        rows={**_WRONG_WAGE.rows, "wage": [(1, month, 2600_00) for month in months_before(DAY, 3)]},
        contested="wages",
        corrected={"wage": _WRONG_WAGE.rows["wage"]},
    ),
    replace(_family(16, "one of them has not signed: nobody is asked", None), authorised=False),
    _pensioner(17, "a pension of 1,200, with a standard of 1,080", "edge"),
    _pensioner(18, "the same, and 150 a month for treatment", "hardship").monthly("treatment", 1, 150_00),
    _family(19, "the son is in prison and does not count", "ineligible", head="1200.00").also("prisoner", (3,)),
    _family(20, "the son serves as a conscript and does not count", "ineligible", head="1200.00").also(
        "conscript", (3,)
    ),
    _family(21, "the son has lived in a monastery for two years", "ineligible", head="1200.00").also("clergy", (3, 2)),
    _household(
        22,
        "the son has moved out to study",
        "eligible",
        *("alive married", "alive married", "moved_out single"),
        **_AID,
    )
    .monthly("wage", 1, 2400_00)
    .also("student", (3, 1)),
    _household(23, "more in shares than 24 times the standard", "ineligible", "alive single").also(
        "security", (1, 20160_01)
    ),
    _household(24, "a housing fund is paid, and nobody knows of wages", "to_a_person", "alive single").also(
        "fund_payment", (1, date(2016, 5, 1))
    ),
    _household(25, "a share in a company", "to_a_person", "alive single").also("shareholder", (1, "GS000001")),
    _family(26, "a flat and a shop", "ineligible").also("certificate", _FLAT, ("C2", "F2", 1, 1, 1, 9, "shop")),
)
