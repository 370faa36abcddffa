"""The engine of cases on SQLite and PostgreSQL: asks once, takes each answer once, and never takes silence for one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from exchange.cases import tables
from exchange.cases.acts import (
    CaseActorError,
    CaseTextError,
    CaseTypeUnknownError,
    UnauthorisedPartyError,
)
from exchange.cases.arrivals import Fate, arrived, note
from exchange.cases.asked import Because
from exchange.cases.case import Case
from exchange.cases.events import INCOMPLETE, CaseAsked, CaseDecided
from exchange.cases.finding import RuleError, again
from exchange.cases.states import CaseState, CaseStateError
from exchange.cases.store import CaseExistsError, CaseMovedError, CaseUnknownError
from tests.rigs.case_world import (
    CLERK,
    DAY,
    ITEMS,
    NOW,
    PARTIES,
    STREET,
    About,
    NoValueError,
    Rule,
    Times,
    Type,
    World,
    table_of,
    with_optional_cars,
)

LATER = NOW + DAY
OVERDUE = NOW + 8 * DAY
ALL = ["C1/cars/1/1", "C1/cars/2/1", "C1/wages/1/1", "C1/wages/2/1"]


@pytest.fixture
def world(url: str) -> Iterator[World]:
    with closing(World(url)) as made:
        yield made


def found(world: World) -> Case:
    """A case with a finding."""
    world.open()
    world.engine.work(NOW)
    world.answer_all()
    world.engine.work(LATER)
    case = world.store.case("C1")
    assert case.state == CaseState.FOUND
    return case


def test_a_case_from_its_opening_to_its_end(world: World) -> None:
    world.open()
    assert world.engine.work(NOW).events == {"asked": 1}
    assert world.questions() == ALL
    world.answer_all()
    done = world.engine.work(LATER)
    assert (done.events, done.arrivals) == ({"answered": 4, "found": 1}, {"taken": 4})
    case = world.store.case("C1")
    assert case.finding is not None
    assert (case.finding.outcome, case.finding.values, case.finding.missing) == ("eligible", {"total": "800.00"}, ())
    [reason] = case.finding.reasons
    assert [(r.question_id, r.department, r.data_as_of) for r in reason.rests_on] == [
        ("C1/wages/1/1", "tax", date(2026, 3, 1)),
        ("C1/wages/2/1", "tax", date(2026, 3, 1)),
    ]
    case = world.acts.decide(case, STREET, "granted", ["Below the standard."], LATER)
    case = world.acts.close(case, CLERK, "The household was told.", LATER)
    kinds = ["opened", "asked", *["answered"] * 4, "found", "decided", "closed"]
    assert world.kinds() == kinds
    assert world.store.in_states(CaseState.CLOSED) == ["C1"]
    assert world.store.verify_all() == len(kinds)
    assert [made.same for made in again(world.store.history("C1"), Type().rule_again)] == [True]


def test_a_question_is_a_row_with_what_the_record_needs(world: World) -> None:
    world.open()
    world.engine.work(NOW)
    with world.store.engine.connect() as connection:
        rows = connection.execute(sa.select(tables.questions)).mappings().all()
    of = {row["question_id"]: row for row in rows}
    wages, cars = of["C1/wages/2/1"], of["C1/cars/1/1"]
    assert (wages["to"], wages["type"], wages["item"]) == ("tax", "household", "wages")
    assert (wages["party_id"], wages["party_name"], wages["authorisation"]) == ("R2", "王二", "A-2")
    assert wages["parameters"] == '{"standard":"950.00"}'
    assert (wages["period_from"], wages["period_until"], wages["as_of"]) == (date(2025, 3, 1), date(2026, 3, 1), None)
    assert (cars["period_from"], cars["as_of"], cars["parameters"]) == (None, date(2026, 3, 2), "{}")
    assert wages["due_on"] == date(2026, 3, 9)


def test_a_pass_that_finds_nothing_to_do_does_nothing(world: World) -> None:
    found(world)
    for now in (LATER, OVERDUE, OVERDUE):
        done = world.engine.work(now)
        assert (done.events, done.arrivals, done.failed) == ({}, {}, {})


def test_silence_reminds_becomes_late_and_never_decides(world: World) -> None:
    world.open()
    world.engine.work(NOW)
    world.answer("C1/wages/1/1", status="found", content={"total": "1.00"})
    assert world.engine.work(NOW + 3 * DAY).events == {"answered": 1}
    assert world.engine.work(NOW + 4 * DAY).events == {"reminded": 1}
    assert world.engine.work(NOW + 5 * DAY).events == {}
    assert world.engine.work(NOW + 7 * DAY).events == {}  # the last day
    assert world.engine.work(OVERDUE).events == {"late": 1}
    assert world.engine.work(OVERDUE + 300 * DAY).events == {"carried": 1}
    case = world.store.case("C1")
    assert (case.state, case.finding) == (CaseState.PARTIAL, None)
    assert sorted(case.late) == ["C1/cars/1/1", "C1/cars/2/1", "C1/wages/2/1"]
    with pytest.raises(CaseStateError, match="partial and cannot be decided"):
        world.acts.decide(case, STREET, "granted", ["Why not."], OVERDUE)


def test_without_a_late_answer_a_finding_is_incomplete_and_amended_when_it_comes(url: str) -> None:
    with closing(World(url, with_optional_cars())) as world:
        world.open(parties=PARTIES[:1])
        world.engine.work(NOW)
        world.answer("C1/wages/1/1", status="found", content={"total": "1.00"})
        assert world.engine.work(OVERDUE).events == {"answered": 1, "late": 1, "found": 1}
        finding = world.store.case("C1").finding
        assert finding is not None
        assert finding.outcome == INCOMPLETE
        assert [(m.question_id, m.department, m.why) for m in finding.missing] == [("C1/cars/1/1", "police", "late")]
        assert finding.reasons, "the rule was asked"
        world.answer("C1/cars/1/1")
        assert world.engine.work(OVERDUE + DAY).events == {"answered": 1, "amended": 1}
        case = world.store.case("C1")
        assert (case.state, case.finding and case.finding.outcome) == (CaseState.AMENDED, "eligible")
        world.acts.decide(case, STREET, "granted", ["Below the standard."], OVERDUE + DAY)


def test_without_an_answer_that_is_needed_a_person_has_the_finding_made_and_decides(world: World) -> None:
    case = world.open(parties=PARTIES[:1])
    with pytest.raises(CaseStateError, match="is opened and cannot be found"):
        world.acts.amend(case, CLERK, "Too early.", NOW)
    world.engine.work(NOW)
    world.answer("C1/wages/1/1", status="found", content={"total": "1.00"})
    world.engine.work(LATER)
    with pytest.raises(CaseStateError, match="it waits for police, until they are late"):
        world.acts.amend(world.store.case("C1"), CLERK, "The police do not answer.", LATER)
    assert world.engine.work(OVERDUE).events == {"late": 1}
    assert world.engine.work(OVERDUE + DAY).events == {}, "the engine waits"
    case = world.acts.amend(world.store.case("C1"), CLERK, "The police do not answer.", OVERDUE + DAY)
    assert case.finding is not None
    assert (case.state, case.finding.outcome, case.finding.reasons) == (CaseState.FOUND, INCOMPLETE, ())
    assert [(m.question_id, m.department, m.why) for m in case.finding.missing] == [("C1/cars/1/1", "police", "late")]
    found = world.bodies()[-1]
    assert (found["kind"], found["who"]["person"], found["reason"]) == ("found", "li", "The police do not answer.")
    decided = world.acts.decide(case, STREET, "granted", ["The car is known to be scrapped."], OVERDUE + DAY)
    assert (decided.state, decided.finding) == (CaseState.DECIDED, case.finding)
    assert [made.same for made in again(world.store.history("C1"), Type().rule_again)] == [True]
    assert world.store.verify("C1") == 6


def test_the_needed_answer_that_comes_after_all_amends_the_finding_before_the_decision(world: World) -> None:
    world.open(parties=PARTIES[:1])
    world.engine.work(NOW)
    world.answer("C1/wages/1/1", status="found", content={"total": "1.00"})
    world.engine.work(OVERDUE)
    world.acts.amend(world.store.case("C1"), CLERK, "The police do not answer.", OVERDUE)
    world.answer("C1/cars/1/1")
    assert world.engine.work(OVERDUE + DAY).events == {"answered": 1, "amended": 1}
    case = world.store.case("C1")
    assert (case.state, case.finding and case.finding.outcome) == (CaseState.AMENDED, "eligible")


def test_what_is_contested_is_waited_for_before_a_person_has_the_finding_made(world: World) -> None:
    world.open(parties=PARTIES[:1])
    world.engine.work(NOW)
    world.answer_all(parties=1)
    world.engine.work(LATER)
    world.acts.object(world.store.case("C1"), CLERK, ["wages", "cars"], "Both are wrong.", LATER)
    world.engine.work(LATER)
    world.answer("C1/cars/1/2")
    world.engine.work(LATER)
    with pytest.raises(CaseStateError, match="it waits for tax, until they are late"):
        world.acts.amend(world.store.case("C1"), CLERK, "Too early.", LATER)
    world.engine.work(OVERDUE + DAY)
    case = world.acts.amend(world.store.case("C1"), CLERK, "The tax office does not answer.", OVERDUE + DAY)
    assert (case.state, case.finding and case.finding.outcome) == (CaseState.AMENDED, INCOMPLETE)


def test_an_answer_after_the_decision_amends_only_if_a_person_says_so(url: str) -> None:
    with closing(World(url, with_optional_cars())) as world:
        world.open(parties=PARTIES[:1])
        world.engine.work(NOW)
        world.answer("C1/wages/1/1", status="found", content={"total": "1.00"})
        world.engine.work(OVERDUE)
        world.acts.decide(world.store.case("C1"), STREET, "granted", ["In need."], OVERDUE)
        world.answer("C1/cars/1/1", status="found", content={"cars": 1})
        assert world.engine.work(OVERDUE + DAY).events == {"answered": 1}
        assert world.engine.work(OVERDUE + DAY).events == {}
        case = world.acts.amend(world.store.case("C1"), CLERK, "The police have answered.", OVERDUE + DAY)
        assert case.finding is not None
        assert (case.state, case.finding.outcome) == (CaseState.AMENDED, "excluded")
        assert [made.same for made in again(world.store.history("C1"), Type().rule_again)] == [True, True]


@pytest.mark.parametrize("status", ["refused", "not_identified", "not_authorised"])
def test_an_answer_that_says_nothing_is_no_answer_to_build_on(world: World, status: str) -> None:
    world.open(parties=PARTIES[:1])
    world.engine.work(NOW)
    world.answer("C1/wages/1/1", status="found", content={"total": "1.00"})
    world.answer("C1/cars/1/1", status=status, reason="secret", answered_by="person")
    world.engine.work(LATER)
    finding = world.store.case("C1").finding
    assert finding is not None
    assert (finding.outcome, [m.why for m in finding.missing]) == (INCOMPLETE, [status])


@pytest.mark.parametrize("content", [{}, {"cars": "1"}, {"cars": 1, "plate": "A1"}])
def test_an_answer_that_is_not_what_was_asked_makes_no_finding(world: World, content: dict[str, Any]) -> None:
    world.open()
    world.engine.work(NOW)
    world.answer_all()
    world.answer("C1/cars/1/1", status="found", content=content)
    assert not world.engine.work(LATER).failed
    finding = world.store.case("C1").finding
    assert finding is not None
    assert (finding.outcome, [m.why for m in finding.missing]) == (INCOMPLETE, ["unreadable"])


def test_a_contradicting_answer_is_told_and_does_not_replace_the_first(world: World) -> None:
    case = found(world)
    world.answer("C1/cars/1/1", queried_at=OVERDUE)  # the same again
    assert world.engine.work(LATER).arrivals == {}
    world.answer("C1/wages/1/1", status="found", content='{"total":"400.00"}')  # written otherwise
    assert world.engine.work(LATER).arrivals == {"repeated": 1}
    for content, fate in (({"cars": 1}, "contradicted"), ({}, "repeated"), ({"cars": 1}, "repeated")):
        world.answer("C1/cars/1/1", status="found" if content else "nothing_found", content=content)
        assert world.engine.work(LATER).arrivals == {fate: 1}
        assert world.engine.work(LATER).arrivals == {}
    after = world.store.case("C1")
    assert [answer.content for answer in after.contradictions] == ['{"cars": 1}']
    assert (after.answers, after.finding, after.state) == (case.answers, case.finding, case.state)


def test_answers_that_nobody_asked_for_are_counted_and_not_taken(world: World) -> None:
    world.open()
    world.answer("C1/cars/1/1", status="found", content={"cars": 9}, department="tax")
    world.answer("C1/wages/1/1", to="market")
    world.answer("C1/wages/2/1", party_id="R1")
    world.answer("C1/cars/2/1", content="[1]")
    world.answer("C1/debts/1/1")
    world.answer("C9/wages/1/1")
    world.answer("nonsense/of/a/number")
    done = world.engine.work(NOW)
    assert done.arrivals == {"other-department": 2, "other-party": 1, "unreadable": 1, "never-asked": 3}
    assert world.store.case("C1").answers == {}
    assert world.engine.work(NOW).arrivals == {}
    world.answer("C1/wages/2/1")
    assert world.engine.work(NOW).arrivals == {"taken": 1}


def test_a_second_engine_that_comes_too_late_leaves_what_became_of_an_answer(world: World) -> None:
    world.open()
    world.engine.work(NOW)
    world.answer("C1/cars/1/1", status="found", content={"cars": 1})
    seen = list(arrived(world.store, "police", table_of("police")))
    world.engine.work(LATER)
    with world.store.transaction() as connection:
        note(connection, [(each, Fate.REPEATED) for each in seen])
    assert world.fates() == {"C1/cars/1/1": "taken"}


def test_what_was_answered_before_it_was_asked_is_looked_at_again(world: World) -> None:
    world.answer_all()
    with world.store.transaction() as connection:  # so that the sinks are looked into
        connection.execute(
            sa.insert(tables.questions).values(
                question_id="C0/wages/1/1", to="tax", type="household", item="wages", party_id="R1", party_name="王",
                parameters="{}", authorisation="", asked_at=NOW, due_on=NOW.date(), updated_at=NOW,
            )
        )  # fmt: skip
    assert world.engine.work(NOW).arrivals == {"never-asked": 2}
    world.open()
    assert world.engine.work(NOW).arrivals == {"taken": 4}


def test_rows_that_are_withdrawn_do_not_change_what_was_answered(world: World) -> None:
    case = found(world)
    for question_id in ALL:
        world.withdraw(question_id)
    assert world.engine.work(OVERDUE).events == {}
    assert world.store.case("C1") == case
    assert [made.same for made in again(world.store.history("C1"), Type().rule_again)] == [True]


def test_an_objection_asks_the_contested_items_again_and_no_others(world: World) -> None:
    case = found(world)
    with pytest.raises(CaseStateError, match="it asks about cars, wages only"):
        world.acts.object(case, CLERK, ["debts"], "Wrong.", LATER)
    world.acts.object(case, CLERK, ["cars", "cars"], "The car was sold.", LATER)
    assert world.engine.work(LATER).events == {"asked": 1}
    again_on = world.store.case("C1").questions["C1/cars/1/2"]
    assert (again_on.as_of, again_on.due_on) == (date(2026, 3, 3), date(2026, 3, 10))
    assert world.questions() == sorted([*ALL, "C1/cars/1/2", "C1/cars/2/2"])
    asked = [event for event in world.store.history("C1") if isinstance(event, CaseAsked)]
    assert [event.round for event in asked] == [1, 2]
    world.answer("C1/cars/1/1", status="found", content={"cars": 5})  # about the first question, which counts no more
    world.answer("C1/cars/1/2", status="found", content={"cars": 1})
    world.answer("C1/cars/2/2")
    assert world.engine.work(LATER).events == {"contradicted": 1, "answered": 2, "amended": 1}
    case = world.store.case("C1")
    assert case.finding is not None
    assert (case.state, case.finding.outcome) == (CaseState.AMENDED, "excluded")
    assert [r.rests_on[0].question_id for r in case.finding.reasons] == ["C1/cars/1/2", "C1/wages/1/1"]
    case = world.acts.decide(case, STREET, "refused", ["A car."], LATER)
    world.acts.object(case, CLERK, ["wages"], "Too high.", LATER)
    world.engine.work(LATER)
    assert [q for q in world.questions() if q.endswith("/3")] == ["C1/wages/1/3", "C1/wages/2/3"]


def test_a_period_is_the_case_s_in_each_round(world: World) -> None:
    case = found(world)
    in_april = NOW.replace(month=4)
    world.acts.object(case, CLERK, ["wages"], "Too high.", in_april)
    world.engine.work(in_april)
    questions = world.store.case("C1").questions
    first, second = questions["C1/wages/1/1"], questions["C1/wages/1/2"]
    assert (first.period_from, first.period_until) == (second.period_from, second.period_until)


def test_persons_act_on_the_case_that_they_saw(world: World) -> None:
    case = found(world)
    decided = world.acts.decide(case, STREET, "granted", ["Below the standard."], LATER)
    with pytest.raises(CaseMovedError):
        world.acts.decide(case, STREET, "refused", ["Above the standard."], LATER)
    assert world.store.case("C1") == decided
    [event] = [event for event in world.store.history("C1") if isinstance(event, CaseDecided)]
    assert (event.finding, event.who, event.outcome) == (7, STREET, "granted")


def test_who_may_not_act_and_what_cannot_be_said(world: World) -> None:
    case = found(world)
    with pytest.raises(CaseActorError, match="for the role street-office to decide, not for clerk"):
        world.acts.decide(case, CLERK, "granted", ["Because."], LATER)
    for outcome, reasons in (("", ["Because."]), ("granted", []), ("granted", [" "]), ("granted", ["a\nb"])):
        with pytest.raises(CaseTextError):
            world.acts.decide(case, STREET, outcome, reasons, LATER)
    for items, reason in (([], "Wrong."), (["cars"], "")):
        with pytest.raises(CaseTextError):
            world.acts.object(case, CLERK, items, reason, LATER)
    with pytest.raises(CaseTextError):
        world.acts.close(case, CLERK.model_copy(update={"person": ""}), "Over.", LATER)
    assert world.store.case("C1") == case


WRONG_PARTIES: tuple[dict[str, str], ...] = (
    {"party_id": ""},
    {"party_id": " R1"},
    {"party_id": "R" * 2001},
    {"name": " "},
    {"name": "a\0b"},
    {"authorisation": "A\u202e1"},
)


def test_what_cannot_be_opened(world: World) -> None:
    day = date(2026, 3, 1)
    unsigned = PARTIES[0].model_copy(update={"authorisation": ""})
    twice = PARTIES[0].model_copy(update={"number": 2})
    with pytest.raises(UnauthorisedPartyError):
        world.open(parties=(unsigned,))
    with pytest.raises(CaseTypeUnknownError):
        world.acts.open("C1", "marriage", "4401", day, PARTIES, CLERK, NOW)
    with pytest.raises(CaseTextError, match="the day of case C1 is still to come"):
        world.open(day=date(2026, 3, 3))
    with pytest.raises(CaseTextError, match="the region of case C1 is no code"):
        world.acts.open("C1", "household", "44 01", day, PARTIES, CLERK, NOW)
    with pytest.raises(NoValueError):
        world.acts.open("C1", "household", "9999", day, PARTIES, CLERK, NOW)
    for case_no, parties in (
        ("C/1", PARTIES),
        ("", PARTIES),
        ("C1", ()),
        ("C1", PARTIES[1:]),
        ("C1", (PARTIES[0], twice)),
        ("C1", (PARTIES[0], twice.model_copy(update={"party_id": "r1"}))),
        *(("C1", (PARTIES[0].model_copy(update=wrong),)) for wrong in WRONG_PARTIES),
    ):
        with pytest.raises(CaseTextError):
            world.acts.open(case_no, "household", "4401", day, parties, CLERK, NOW)
    with pytest.raises(CaseUnknownError):
        world.store.case("C1")
    world.open()
    with pytest.raises(CaseExistsError):
        world.open()
    assert world.kinds() == ["opened"]


def test_one_case_that_cannot_go_on_does_not_hold_up_the_others(world: World) -> None:
    for case_no in ("C1", "C2"):
        world.open(case_no, PARTIES[:1])
    world.engine.work(NOW)
    for case_no in ("C1", "C2"):
        world.answer_all(case_no, parties=1)
    world.answer("C1/wages/1/1", status="found", content={"total": "-1.00"})
    done = world.engine.work(LATER)
    assert list(done.failed) == ["C1"]
    assert isinstance(done.failed["C1"], RuleError)
    assert "-1.00" not in str(done.failed["C1"])
    assert world.store.case("C2").state == CaseState.FOUND
    assert world.store.case("C1").state == CaseState.ANSWERED


@pytest.mark.parametrize(
    "content",
    ['{"cars": ' + "[" * 100_000 + "]" * 100_000 + "}", '{"cars": 1e99999999999999999999}', '{"cars": NaN}'],
    ids=["deep", "exponent", "no number"],
)
def test_an_answer_that_cannot_be_read_holds_up_nobody(world: World, content: str) -> None:
    for case_no in ("C1", "C2"):
        world.open(case_no, PARTIES[:1])
    world.engine.work(NOW)
    world.answer("C1/cars/1/1", status="found", content=content)
    world.answer_all("C2", parties=1)
    done = world.engine.work(LATER)
    assert not done.failed
    assert (world.fates()["C1/cars/1/1"], world.store.case("C2").state) == ("unreadable", CaseState.FOUND)


def test_what_nobody_foresaw_holds_up_its_case_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for case_no in ("C1", "C2"):
        world.open(case_no, PARTIES[:1], date(2026, 3, int(case_no[1])))

    def times(_: About, day: date) -> Times:
        return Times(None, None, day) if day.day == 2 else Times(None, None, date(day.year, 13, 1))

    monkeypatch.setattr(About, "times", times)
    done = world.engine.work(NOW)
    assert {case_no: error.message for case_no, error in done.failed.items()} == {"C1": "case C1: ValueError"}
    assert world.store.case("C2").state == CaseState.ASKED


def test_what_is_contested_is_asked_again_or_waits_for_its_item(world: World) -> None:
    case = found(world)
    world.open("C2", PARTIES[:1])
    world.acts.object(case, CLERK, ["cars", "wages"], "Wrong.", LATER)
    world.types["household"] = replace(world.types["household"], items=ITEMS[:1])
    done = world.engine.work(LATER)
    assert {case_no: error.message for case_no, error in done.failed.items()} == {
        "C1": "the case type household has no item cars any more"
    }
    assert world.store.case("C2").state == CaseState.ASKED
    world.types["household"] = replace(world.types["household"], items=ITEMS)
    assert not world.engine.work(LATER).failed
    assert world.store.case("C1").state == CaseState.ASKED


@pytest.mark.parametrize(
    "wrong",
    [
        {"reasons": [Because("Just so.", [])]},
        {"reasons": [Because("Just so.", ["C2/wages/1/1"])]},
        {"reasons": ["Just so."]},
        {"outcome": None},
        {"values": {"total": Decimal(1)}},
        {"values": {"total": "1\0"}},
        {"reasons": []},
        {"outcome": " "},
        {"outcome": "\ud800"},
    ],
    ids=lambda wrong: str(wrong)[:24],
)
def test_what_is_no_finding_is_not_written(url: str, wrong: dict[str, Any]) -> None:
    with closing(World(url, Type(rule=Rule(instead=wrong)))) as world:
        world.open()
        world.engine.work(NOW)
        world.answer_all()
        done = world.engine.work(LATER)
        assert isinstance(done.failed["C1"], RuleError)
        assert world.store.case("C1").state == CaseState.ANSWERED


def test_a_case_is_carried_over_into_the_next_year_until_it_is_closed(world: World) -> None:
    case = found(world)
    new_year = NOW.replace(year=2027)
    assert world.engine.work(new_year).events == {"carried": 1}
    assert world.engine.work(new_year).events == {}
    case = world.store.case("C1")
    assert (case.year, case.state) == (2027, CaseState.FOUND)
    world.acts.close(case, CLERK, "Withdrawn by the applicant.", new_year)
    assert world.engine.work(NOW.replace(year=2028)).events == {}
    world.answer("C1/cars/1/1", status="found", content={"cars": 1})
    assert world.engine.work(NOW.replace(year=2028)).arrivals == {"case-closed": 1}


def test_each_finding_is_made_again_with_the_values_and_the_rule_of_then(url: str) -> None:
    with closing(World(url)) as world:
        found(world)
        history = world.store.history("C1")
    raised = Type(values={"standard": "1.00"})
    assert [made.same for made in again(history, raised.rule_again)] == [True]
    with pytest.raises(NoValueError):
        again(history, replace(Type(), rule=Rule(version="2")).rule_again)

    [made] = again(history, Type(rule=Rule(instead={"outcome": "excluded"})).rule_again)
    assert not made.same


def test_a_department_without_a_table_of_answers_has_not_answered(url: str) -> None:
    with closing(World(url, Type(items=(*ITEMS, replace(ITEMS[0], name="debts", asks="high-court"))))) as world:
        world.open()
        world.engine.work(NOW)
        world.answer_all()
        assert world.engine.work(LATER).arrivals == {"taken": 4}
        assert world.store.case("C1").state == CaseState.PARTIAL
