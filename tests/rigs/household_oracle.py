"""What the finding on a planted household has to be, computed slowly from the rows; it knows no question and no answer.

Written from the law's text (the table of limits below is a second copy, on purpose), and shares no code with the rule.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import date
from decimal import ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction
from typing import Any, NamedTuple

from tests.rigs.household import Planted

LAW = {  # from year: standard, limit of deposits, mean area, part of the wage that work costs, edge
    2016: (84_000, 2_016_000, 22, Fraction(0), None),
    2018: (95_000, 2_280_000, 22, Fraction(0), None),
    2020: (108_000, 2_592_000, 24, Fraction(1, 10), Fraction(3, 2)),
}
JOB_IS_NEW = 6


class Expected(NamedTuple):
    outcome: str
    members: int | None = None
    aid: str | None = None


def expected(planted: Planted) -> Expected:
    """The outcome; members and aid if no person has to look first."""
    standard, limit, mean_area, work_cost, edge = LAW[max(year for year in LAW if year <= planted.day.year)]
    window = [_month(planted.day, -back) for back in (3, 2, 1)]
    of = _by_person(planted)
    look, members = _members(planted, of)
    if look or not members:
        return Expected("to_a_person")
    fen = Fraction(0)
    costs = 0
    for n in members:
        mine = of[n]
        wage = sum(sum(row[2] for row in mine["wage"] if row[1] == month) for month in window)
        if any(since >= _month(planted.day, -JOB_IS_NEW) for _, since in mine["employment"]):
            wage_counts = Fraction(max(0, wage - 3 * 3 * standard))
        else:
            wage_counts = Fraction(wage)
        fen += wage_counts * (1 - work_cost)
        fen += sum(row[2] for row in mine["pension_month"] if row[1] in window)
        fen -= sum(row[2] for row in mine["service_pension"] if row[1] in window)
        costs += sum(row[2] for table in ("school_fee", "treatment") for row in mine[table] if row[1] in window)
        insured = any(row[2] > row[3] for row in mine["insured_base"] if row[1] in window)
        if not wage and (insured or any(row[1] in window for row in mine["fund_payment"])):
            return Expected("to_a_person")
        if mine["shareholder"]:
            return Expected("to_a_person")
    verdict = _property(members, of, limit, mean_area)
    if verdict == "look":
        return Expected("to_a_person")
    if verdict == "too much":
        return Expected("ineligible", len(members), "0.00")
    each_month = fen / 3
    need = standard * len(members)
    if each_month < need:
        return Expected("eligible", len(members), _yuan(need - each_month))
    if edge is not None and each_month - Fraction(costs, 3) < need:
        return Expected("hardship", len(members), "0.00")
    if edge is not None and each_month <= edge * need:
        return Expected("edge", len(members), "0.00")
    return Expected("ineligible", len(members), "0.00")


Rows = dict[int, dict[str, list[tuple[Any, ...]]]]


def _members(planted: Planted, of: Rows) -> tuple[bool, list[int]]:
    """Whether a person has to look who belongs to it, and who does."""
    look, members, alive_and_married = False, [], 0
    for n in range(1, planted.persons + 1):
        mine = of[n]
        _, state, marriage = mine["civil_status"][0] if mine["civil_status"] else (n, None, None)
        if state == "dead":
            continue
        alive_and_married += marriage == "married"
        conscript = bool(mine["conscript"]) and marriage != "married"
        if mine["prisoner"] or conscript or any(years >= 1 for _, years in mine["clergy"]):
            continue
        members.append(n)
        away = state == "moved_out" and not any(full_time for _, full_time in mine["student"])
        divorced = marriage == "married" and any(kind == "divorce" for _, kind in mine["judgment"])
        look = look or state is None or bool(mine["death_certificate"]) or away or divorced
    return look or alive_and_married % 2 == 1, members


def _property(members: list[int], of: Rows, limit: int, mean_area: int) -> str:
    rich, too_much, look = 0, False, False
    cards = {n for n in members if any(status == "valid" for _, status in of[n]["card_holder"])}
    homes, area, others = Fraction(0), Fraction(0), []
    for n in members:
        rich += any(sum(row[1] for row in of[n][table]) > limit for table in ("deposit", "security"))
        cars = {adapted for _, adapted, status in of[n]["owned_car"] if status == "registered"}
        too_much = too_much or 0 in cars
        if 1 in cars and n not in cards:
            look, too_much = look or bool(cards), too_much or not cards
        units = {unit: (Fraction(a, b), size, use) for _, unit, _, a, b, size, use in of[n]["certificate"]}
        homes += sum(part for part, _, use in units.values() if use == "home")
        area += sum(part * size for part, size, use in units.values() if use == "home")
        others.append(sum(use != "home" for _, _, use in units.values()))
    if rich == len(members):
        too_much = True
    elif rich:
        look = True
    if homes >= 2 and area >= mean_area * len(members):
        too_much = True
    if sum(others) and (homes or max(others) > 1):
        too_much = True
    elif sum(others) > 1:
        look = True
    return "look" if look else "too much" if too_much else "fine"


def _by_person(planted: Planted) -> Rows:
    of: Rows = defaultdict(lambda: defaultdict(list))
    for table, rows in planted.rows.items():
        for row in rows:
            of[row[2] if table == "certificate" else row[0]][table].append(row)
    return of


def _month(day: date, months: int) -> str:
    year, month = day.year, day.month + months
    while month < 1:
        year, month = year - 1, month + 12
    return f"{year:04}-{month:02}-01"


def _yuan(fen: Fraction) -> str:
    with localcontext() as context:
        context.prec = 60
        whole = (Decimal(fen.numerator) / Decimal(fen.denominator)).quantize(Decimal(1), ROUND_HALF_UP)
        return str(whole.scaleb(-2).quantize(Decimal("0.01")))
