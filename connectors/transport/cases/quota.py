"""Who may take part in the draw of car quotas; named by quota.yaml (persons) and quota-unit.yaml (units).

A condition holds, fails, or is open (None) while an answer that it needs is missing. The finding has a reason for every
condition that fails, and if none does, for every one that holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import NamedTuple

from exchange.cases.asked import Because, CaseFacts, Conclusion, Fact


class Condition(NamedTuple):
    """One condition, the items on whose answers it rests, and what to say of it."""

    name: str
    holds: bool | None
    items: tuple[str, ...]
    held: str
    failed: str


class Answers:
    """The answers about the one applicant, by item; None for one that is missing. Nothing found is no and 0."""

    def __init__(self, facts: CaseFacts) -> None:
        [applicant] = facts.parties
        self._facts: Mapping[str, Fact] = {fact.item: fact for fact in facts.facts if fact.party == applicant.number}

    def yes(self, item: str, name: str) -> bool | None:
        value = self._value(item, name, False)
        return None if value is None else value is True

    def count(self, item: str, name: str) -> int | None:
        value = self._value(item, name, 0)
        return None if value is None else int(str(value))

    def amount(self, item: str, name: str) -> Decimal | None:
        value = self._value(item, name, 0)
        return None if value is None else Decimal(str(value))

    def questions(self, items: Iterable[str]) -> list[str]:
        """The questions on these items that are answered."""
        return [self._facts[item].answer.question_id for item in items if item in self._facts]

    def _value(self, item: str, name: str, nothing: object) -> object:
        if item not in self._facts:
            return None
        fact = self._facts[item]
        return nothing if fact.answer.status == "nothing_found" else fact.content[name]


def person_2012(facts: CaseFacts) -> Conclusion:
    """Insurance counts with a residence permit, if it has run for whole years, counted by the day."""
    answers = Answers(facts)
    years, least = answers.count("insurance-running", "full_years"), int(facts.parameters["running_years"])
    running = Condition(
        "insurance",
        _every(answers.yes("residence", "permit"), _at_least(years, least)),
        ("residence", "insurance-running"),
        f"holds a residence permit and has been insured for {years} full years without a gap",
        f"no residence permit together with {least} full years of insurance without a gap",
    )
    return _person(facts, answers, running)


def person_2018(facts: CaseFacts) -> Conclusion:
    """Insurance counts by its months in this city in the three years before the month of the result."""
    answers = Answers(facts)
    months, least = answers.count("insurance", "months"), int(facts.parameters["insured_months"])
    insured = Condition(
        "insurance",
        _at_least(months, least),
        ("insurance",),
        f"insured here for {months} months in 3 years",
        f"insured here for {months} months in 3 years, not {least}",
    )
    return _person(facts, answers, insured)


def _person(facts: CaseFacts, answers: Answers, insurance: Condition) -> Conclusion:
    gone = [answers.count("vehicles", name) for name in ("cancelled", "scrapped", "stolen")]
    cars = answers.count("vehicles", "cars")
    left = None if cars is None else cars - sum(each or 0 for each in gone)
    held, unused = answers.count("quotas", "held"), answers.count("lottery", "unused")
    return _concluded(
        facts,
        answers,
        [
            _lives_here(facts, answers, insurance),
            _is(
                answers, "identity", "valid", "identity", "the identity document is valid", "no valid identity document"
            ),
            _is(answers, "licence", "valid", "licence", "the driving licence is valid", "no valid driving licence"),
            Condition(
                "cars",
                _none(left),
                ("vehicles",),
                f"no car is registered here; {cars} were, and are cancelled, scrapped or stolen",
                f"{left} of {cars} cars registered here are not cancelled, scrapped or stolen",
            ),
            Condition("quotas", _none(held), ("quotas",), "holds no quota", f"holds {held} quotas already"),
            _is_not(answers, "quotas", "replacement", "replacement", "no right to replace a car", "may replace a car"),
            Condition(
                "unused",
                _none(unused),
                ("lottery",),
                "left no quota of a lottery unused in 2 years",
                f"left {unused} quotas of a lottery unused in 2 years",
            ),
        ],
    )


def _lives_here(facts: CaseFacts, answers: Answers, insurance: Condition) -> Condition:
    """Any of several ways is enough; the reason rests on those that hold, or else on all."""
    least = int(facts.parameters["months_a_year"])
    years = [answers.count("exit-entry", name) for name in ("months_last_year", "months_year_before")]
    ways = [
        _is(answers, "residence", "hukou", "hukou", "is registered here", "not registered here"),
        _is(answers, "soldier", "serving", "soldier", "serves here", "no soldier who serves here"),
        insurance,
        _is(answers, "talent", "card", "talent", "holds a talent card", "no talent card"),
        Condition(
            "outsider",
            _every(answers.yes("exit-entry", "outsider"), *(_at_least(months, least) for months in years)),
            ("exit-entry",),
            f"from outside of the mainland, and was here for {years[1]} and {years[0]} months of the last two years",
            f"nobody from outside of the mainland who was here for {least} months in each of the last two years",
        ),
    ]
    holding = [way for way in ways if way.holds]
    return Condition(
        "lives",
        _any(way.holds for way in ways),
        tuple(dict.fromkeys(item for way in holding or ways for item in way.items)),
        "lives here: " + "; ".join(way.held for way in holding),
        "does not live here, by none of: " + "; ".join(way.failed for way in ways),
    )


def unit_2012(facts: CaseFacts) -> Conclusion:
    """As many codes as the tax of a year is worth; an institution has one at least, by its registration."""
    answers = Answers(facts)
    tax, institution = answers.amount("tax", "paid"), answers.yes("registration", "institution")
    one, another = (Decimal(facts.parameters[name]) for name in ("tax_for_one", "tax_for_another"))
    most, codes = int(facts.parameters["most_codes"]), None
    if tax is not None:
        codes = 0 if tax < one else min(most, 1 + int((tax - one) // another))
        codes = max(codes, 1) if institution else codes
    enough = Condition(
        "tax",
        _any([institution, None if codes is None else codes > 0]),
        ("registration", "tax"),
        f"is an institution: {codes} codes" if institution else f"paid {tax} CNY of tax: {codes} codes",
        f"paid {tax} CNY of tax, not {one}, and is no institution",
    )
    values = {} if codes is None else {"codes": str(codes)}
    return _concluded(facts, answers, [_registered(answers), enough], values)


def unit_2013(facts: CaseFacts) -> Conclusion:
    """Tax of a year, a large investment, or the registration as an institution is enough."""
    answers = Answers(facts)
    tax, least = answers.amount("tax", "paid"), Decimal(facts.parameters["least_tax"])
    ways = {
        f"paid {tax} CNY of tax": _at_least(tax, least),
        "made a large investment": answers.yes("investment", "large"),
        "is an institution": answers.yes("registration", "institution"),
    }
    enough = Condition(
        "tax",
        _any(ways.values()),
        ("registration", "investment", "tax"),
        "; ".join(way for way, holds in ways.items() if holds),
        f"paid {tax} CNY of tax, not {least}, made no large investment, and is no institution",
    )
    return _concluded(facts, answers, [_registered(answers), enough])


def _registered(answers: Answers) -> Condition:
    return _is(answers, "registration", "valid", "registration", "the registration is valid", "no valid registration")


def _concluded(
    facts: CaseFacts, answers: Answers, conditions: list[Condition], values: Mapping[str, str] | None = None
) -> Conclusion:
    failed = [each for each in conditions if each.holds is False]
    held = [each for each in conditions if each.holds]
    reasons = [Because(each.failed, answers.questions(each.items)) for each in failed]
    reasons = reasons or [Because(each.held, answers.questions(each.items)) for each in held]
    outcome = "excluded" if failed else "eligible" if held == conditions and not facts.missing else "incomplete"
    return Conclusion(outcome, reasons, {**(values or {}), "failed": " ".join(each.name for each in failed)})


def _is(answers: Answers, item: str, value: str, name: str, held: str, failed: str) -> Condition:
    return Condition(name, answers.yes(item, value), (item,), held, failed)


def _is_not(answers: Answers, item: str, value: str, name: str, held: str, failed: str) -> Condition:
    there = answers.yes(item, value)
    return Condition(name, None if there is None else not there, (item,), held, failed)


def _none(count: int | None) -> bool | None:
    """Fewer than none is a contradiction: a person looks at it."""
    return None if count is None or count < 0 else count == 0


def _at_least(number: int | Decimal | None, least: int | Decimal) -> bool | None:
    return None if number is None else number >= least


def _every(*holds: bool | None) -> bool | None:
    return False if False in holds else None if None in holds else True


def _any(holds: Iterable[bool | None]) -> bool | None:
    there = list(holds)
    return True if True in there else None if None in there else False
