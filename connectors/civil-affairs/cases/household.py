"""The rules of the example's findings on the economic status of a household; named by household.yaml.

Read `finding_2020`: who counts, what excludes, then the income. A finding is a signal for the person who decides. What
the answers leave open goes `to_a_person` and is never guessed. Every answer is needed, so that no item is optional: if
one is missing, the engine says `incomplete`.

Numbers are exact fractions. Money is rounded once, for the finding: to a fen, half a fen up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from math import floor

from exchange.cases.asked import Because, CaseFacts, Conclusion

INCOME = ("wages", "pensions", "service")
ASSETS = ("cars", "card", "homes", "deposits", "securities", "companies")
WORDS = {
    "state": ("alive", "dead", "moved_out"),
    "marriage": ("single", "married", "divorced", "widowed"),
    "other_use": ("none", "one", "more"),
}
TWO_DWELLINGS = Fraction("1.99")
"""Shares have four decimals: a flat and three thirds of another are told as 1.9999."""


def finding_2016(facts: CaseFacts) -> Conclusion:
    """Eligible or not."""
    return _concluded(Household(facts), lambda household, persons, head: ("ineligible", []))


def finding_2020(facts: CaseFacts) -> Conclusion:
    """As in 2016, but going to work has its cost; and who is not eligible may be in hardship, or at the edge."""
    return _concluded(Household(facts), _group)


class Household:
    """The answers by item and person, and why what is concluded of them.

    `told` explains, `against` excludes, `doubts` are for a person.
    """

    def __init__(self, facts: CaseFacts) -> None:
        self._facts = {(fact.item, fact.party): fact for fact in facts.facts}
        self._parameters = facts.parameters
        self.persons = sorted(party.number for party in facts.parties)
        self.told: list[Because] = []
        self.against: list[Because] = []
        self.doubts: list[Because] = []

    def parameter(self, name: str) -> Fraction:
        return Fraction(self._parameters[name])

    def cost_of_work(self) -> Fraction:
        """The part of a wage that going to work costs: none, by a rule that does not take it."""
        return Fraction(self._parameters.get("work_cost", "0"))

    def amount(self, item: str, person: int, name: str) -> Fraction:
        """The number; 0 if nothing was found. An answer that is not there is an error, and no 0."""
        said = self._said(item, person, name)
        return Fraction(0) if said is None else Fraction(str(said))

    def word(self, item: str, person: int, name: str) -> str | None:
        """One of the words that are known; None if nothing was found."""
        said = self._said(item, person, name)
        if said is None or said in WORDS[name]:
            return None if said is None else str(said)
        raise ValueError(f"{name} of {item} is no known word")

    def so(self, item: str, person: int, name: str) -> bool:
        said = self._said(item, person, name)
        if said not in (None, True, False):
            raise ValueError(f"{name} of {item} is no predicate")
        return bool(said)

    def ids(self, items: Iterable[str], persons: Iterable[int]) -> list[str]:
        """The numbers of these questions."""
        return [self._facts[item, person].answer.question_id for person in persons for item in items]

    def _said(self, item: str, person: int, name: str) -> object:
        """What was answered; None if nothing was found."""
        fact = self._facts[item, person]
        if fact.answer.status != "found":
            return None
        if fact.content[name] is None:
            raise ValueError(f"{name} of {item} was found and has no value")
        return fact.content[name]


Group = Callable[[Household, Sequence[int], Fraction], tuple[str, list[Because]]]
"""What a household is whose income is not below the standard, and why."""


def _concluded(household: Household, group: Group) -> Conclusion:
    persons = _who_counts(household)
    if not persons:
        household.doubts.append(Because("Nobody of the case counts.", household.ids(["register"], household.persons)))
    _assets(household, persons)
    income = _income(household, persons)
    if household.doubts:
        return Conclusion("to_a_person", [*household.doubts, *household.against, *household.told])
    standard, window = household.parameter("standard"), household.parameter("window")
    head = income / window / len(persons)
    below = head < standard
    text = (
        f"Who counts: {len(persons)}. Their income in {window} months is {_money(income)}, {_money(head)} a head and "
        f"month, which is {'' if below else 'not '}below the standard of {_money(standard)}."
    )
    reasons = [*household.against, Because(text, household.ids([*INCOME, "register"], persons)), *household.told]
    outcome, aid = "ineligible", Fraction(0)
    if below and not household.against:
        outcome, aid = "eligible", (standard - head) * len(persons)
        reasons.append(Because("Nothing that they own excludes aid.", household.ids(ASSETS, persons)))
    elif not household.against:
        outcome, more = group(household, persons, head)
        reasons += more
    values = {"members": str(len(persons)), "income": _money(income), "head": _money(head), "aid": _money(aid)}
    return Conclusion(outcome, reasons, values)


def _group(household: Household, persons: Sequence[int], head: Fraction) -> tuple[str, list[Because]]:
    standard = household.parameter("standard")
    costs = (household.amount(item, person, "own_cost") for item in ("treatment", "study") for person in persons)
    left = head - sum(costs, Fraction(0)) / household.parameter("window") / len(persons)
    if left < standard:
        text = f"After what they pay for treatment and school, {_money(left)} a head and month is left."
        return "hardship", [Because(text, household.ids(["treatment", "study"], persons))]
    edge = household.parameter("edge_factor") * standard
    if head <= edge:
        text = f"The income is not above {_money(edge)} a head and month, the edge of the standard."
        return "edge", [Because(text, household.ids(INCOME, persons))]
    return "ineligible", []


def _who_counts(household: Household) -> list[int]:
    """The persons who count, those about whom there is a doubt among them."""
    counted = []
    for person in household.persons:
        out = _out(household, person)
        if out is None:
            counted.append(person)
            _doubts_of_membership(household, person)
        else:
            household.told.append(out)
    living = [person for person in household.persons if household.word("register", person, "state") != "dead"]
    if sum(_married(household, person) for person in living) % 2:
        text = "By the register somebody is married, and the husband or wife is not in the case."
        household.doubts.append(Because(text, household.ids(["register"], living)))
    return counted


def _out(household: Household, person: int) -> Because | None:
    """Why the person does not count; None if they do."""
    if household.word("register", person, "state") == "dead":
        if household.amount("pensions", person, "total") > 0:
            text = f"Person {person} is dead by the register and does not count; a pension that was paid is no income."
            return Because(text, household.ids(["register", "pensions"], [person]))
        return Because(
            f"Person {person} is dead by the register and does not count.", household.ids(["register"], [person])
        )
    if household.so("custody", person, "in_custody"):
        return Because(f"Person {person} is in custody and does not count.", household.ids(["custody"], [person]))
    if household.so("service", person, "serving") and not _married(household, person):
        text = f"Person {person} serves as a conscript, is not married, and does not count."
        return Because(text, household.ids(["service", "register"], [person]))
    if household.so("clergy", person, "apart"):
        text = f"Person {person} has lived apart as clergy for a year or longer and does not count."
        return Because(text, household.ids(["clergy"], [person]))
    return None


def _doubts_of_membership(household: Household, person: int) -> None:
    state = household.word("register", person, "state")
    if state is None:
        text = f"Person {person} is not in the register of residents: whether they count is open."
        household.doubts.append(Because(text, household.ids(["register"], [person])))
    elif household.so("death", person, "certified"):
        text = f"Person {person} is alive by the register, but a death was certified."
        household.doubts.append(Because(text, household.ids(["register", "death"], [person])))
    elif state == "moved_out" and not household.so("study", person, "full_time"):
        text = f"Person {person} has moved out and is no full-time student: whether they count is open."
        household.doubts.append(Because(text, household.ids(["register", "study"], [person])))
    if household.so("divorce", person, "divorced") and _married(household, person):
        text = f"Person {person} is divorced by a court but married by the register: who counts is open."
        household.doubts.append(Because(text, household.ids(["divorce", "register"], [person])))


def _married(household: Household, person: int) -> bool:
    return household.word("register", person, "marriage") == "married"


def _income(household: Household, persons: Sequence[int]) -> Fraction:
    """What counts of the income of all these persons, in all months of the window together."""
    income = Fraction(0)
    window, cost = household.parameter("window"), household.cost_of_work()
    most_exempt = household.parameter("new_job_factor") * household.parameter("standard") * window
    for person in persons:
        wages = max(household.amount("wages", person, "total"), Fraction(0))
        exempt = min(wages, most_exempt) if household.so("wages", person, "new_job") else Fraction(0)
        counts = (wages - exempt) * (1 - cost)
        if wages > counts:
            text = f"Of the wages of person {person}, {_money(wages)}, only {_money(counts)} counts: "
            text += "the job is new." if exempt else "going to work has its cost."
            household.told.append(Because(text, household.ids(["wages"], [person])))
        if wages == 0:
            _work_without_wages(household, person)
        pensions = max(household.amount("pensions", person, "total"), Fraction(0))
        for_service = min(max(household.amount("service", person, "exempt"), Fraction(0)), pensions)
        if for_service:
            text = f"Of the pensions of person {person}, {_money(for_service)} is for service and does not count."
            household.told.append(Because(text, household.ids(["pensions", "service"], [person])))
        income += counts + pensions - for_service
    return income


def _work_without_wages(household: Household, person: int) -> None:
    """Insured at the floor says nothing of work; above it, or with a housing fund, there is an employer."""
    signs = {"insurance": "above_floor", "fund": "paid"}
    if there := [item for item, name in signs.items() if household.so(item, person, name)]:
        text = f"Contributions were paid for person {person} as for an employee, but the tax service knows of no wages."
        household.doubts.append(Because(text, household.ids(["wages", *there], [person])))


def _assets(household: Household, persons: Sequence[int]) -> None:
    for person in persons:
        _cars(household, person, persons)
        if household.so("companies", person, "holds"):
            text = f"Person {person} holds a company or a share in one, of whose income no answer tells."
            household.doubts.append(Because(text, household.ids(["companies"], [person])))
    _deposits(household, persons)
    _homes(household, persons)


def _cars(household: Household, person: int, persons: Sequence[int]) -> None:
    if household.so("cars", person, "car"):
        household.against.append(Because(f"Person {person} owns a car.", household.ids(["cars"], [person])))
    if not household.so("cars", person, "adapted"):
        return
    if household.so("card", person, "valid"):
        text = f"Person {person} has a disability card and owns an adapted car, which excludes nothing."
        household.told.append(Because(text, household.ids(["cars", "card"], [person])))
    elif holders := [each for each in persons if household.so("card", each, "valid")]:
        text = f"Person {person} owns an adapted car, and another one has a disability card: whose aid it is, is open."
        ids = household.ids(["cars"], [person]) + household.ids(["card"], holders)
        household.doubts.append(Because(text, ids))
    else:
        text = f"Person {person} owns an adapted car, and nobody has a disability card."
        ids = household.ids(["cars"], [person]) + household.ids(["card"], persons)
        household.against.append(Because(text, ids))


def _deposits(household: Household, persons: Sequence[int]) -> None:
    """The limit is one of the mean of all persons, and an answer tells of one person only."""
    kinds = ("deposits", "securities")
    over = [person for person in persons if any(household.so(kind, person, "over_limit") for kind in kinds)]
    if not over:
        return
    ids = household.ids(kinds, over)
    limit = _money(household.parameter("deposit_limit"))
    if over == persons:
        household.against.append(Because(f"Each person has deposits or securities of more than {limit}.", ids))
    else:
        text = f"{len(over)} of {len(persons)} persons have deposits or securities of more than {limit}; "
        household.doubts.append(Because(text + "whether all have more on average is open.", ids))


def _homes(household: Household, persons: Sequence[int]) -> None:
    shares = sum((household.amount("homes", person, "shares") for person in persons), Fraction(0))
    area = sum((household.amount("homes", person, "area") for person in persons), Fraction(0))
    ids = household.ids(["homes"], persons)
    if shares >= TWO_DWELLINGS and area / len(persons) >= household.parameter("mean_area"):
        mean = _money(household.parameter("mean_area"))
        text = f"They own two dwellings or more, of {_money(area / len(persons))} m² a head; the city's mean is {mean}."
        household.against.append(Because(text, ids))
    uses = [household.word("homes", person, "other_use") for person in persons]
    others = [use for use in uses if use not in (None, "none")]
    if others and (shares > 0 or "more" in others):
        household.against.append(Because("They own property that is no dwelling and not their only home.", ids))
    elif len(others) > 1:
        text = "Several of them own property that is no dwelling: whether it is one, and their only home, is open."
        household.doubts.append(Because(text, ids))
    elif others:
        household.told.append(Because("The property that is no dwelling is their only home and excludes nothing.", ids))


def _money(amount: Fraction) -> str:
    """The amount to two decimals, half up."""
    fen = floor(abs(amount) * 100 + Fraction(1, 2))
    return f"{'-' if amount < 0 and fen else ''}{fen // 100}.{fen % 100:02d}"
