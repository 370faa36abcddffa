"""What becomes of a question: answered by the item's queries, given to a person, or left open and reported."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from exchange.cases.answering.answerer import Answerer, is_same_name
from tests.rigs.answering import NOW, NUMBER, STUDY, WAGES, TaxOffice


@pytest.fixture
def office(tmp_path: Path) -> Iterator[TaxOffice]:
    made = TaxOffice(f"sqlite:///{tmp_path}/tax.db", tmp_path)
    yield made
    made.close()


def test_a_question_is_answered_by_the_query(office: TaxOffice) -> None:
    asked = office.ask()
    assert [one.outcome for one in office.look()] == ["answered"]
    row = office.answered()[asked]
    assert json.loads(row["content"]) == {"total": "30000.60", "months": 3, "over_limit": True, "bracket": "high"}
    assert (row["status"], row["to"], row["party_id"]) == ("found", "civil-affairs", NUMBER)
    assert (row["answered_by"], row["reason"], row["data_as_of"]) == ("query", None, date(2025, 3, 28))
    assert row["queried_at"] == row["updated_at"] == datetime(2026, 3, 1, 4, 0, 0, 123_000, tzinfo=UTC)
    assert office.look() == []


def test_a_moment_in_sqlite_has_its_zone_because_a_source_would_take_it_for_the_citys_time(office: TaxOffice) -> None:
    office.ask()
    office.look()
    with office.engine.connect() as connection:
        text = connection.scalar(sa.text("SELECT queried_at FROM exchange_answers"))
    assert text == "2026-03-01 04:00:00.123+00:00"


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"authorisation": None}, "not_authorised"),
        ({"authorisation": " "}, "not_authorised"),
        ({"authorisation": "", "item": "study"}, "not_authorised"),
        ({"party_id": "440106199001010099"}, "not_identified"),
        ({"period_from": date(2024, 1, 1), "period_until": date(2024, 12, 31)}, "nothing_found"),
        ({"period_until": date(2025, 1, 27)}, "nothing_found"),
        ({"period_until": date(2025, 1, 28)}, "found"),
        ({"party_name": "\u3000李安 娜"}, "found"),
    ],
)
def test_statuses(office: TaxOffice, changes: dict[str, Any], status: str) -> None:
    asked = office.ask(**changes)
    office.look()
    row = office.answered()[asked]
    assert row["status"] == status
    assert (row["content"] == "{}") == (status != "found")


def test_whom_a_department_need_not_know_has_nothing_there(office: TaxOffice) -> None:
    office.write(WAGES | {"unknown": "nothing_found"})
    asked = office.ask(party_id="440106199001010099")
    office.look()
    row = office.answered()[asked]
    assert (row["status"], row["data_as_of"]) == ("nothing_found", date(2025, 3, 28))


def test_the_day_of_the_data_is_looked_up_in_each_pass_before_the_first_values(office: TaxOffice) -> None:
    """In one pass it is the same for all, so what comes in meanwhile is newer than it says, and never older."""
    store = office.store()
    answerer = Answerer(store, "tax", office.asker, lambda: NOW)
    asked = [office.ask(f"c{n}/wages/1/1") for n in (1, 2)]
    april = {"resident_id": NUMBER, "month": "2025-04", "day": date(2025, 4, 28), "amount": 10_000}
    one_by_one = answerer.answer_all()
    next(one_by_one)
    with office.engine.begin() as connection:
        connection.execute(office.income.insert().values(april))
    assert len(list(one_by_one)) == 1
    asked.append(office.ask("c3/wages/1/1"))
    list(answerer.answer_all())
    store.close()
    days = [office.answered()[each]["data_as_of"] for each in asked]
    assert days == [date(2025, 3, 28), date(2025, 3, 28), date(2025, 4, 28)]


def test_a_day_that_depends_on_the_question_is_looked_up_for_each(office: TaxOffice) -> None:
    office.write(WAGES | {"as_of": "SELECT MAX(day) FROM income WHERE day <= :period_until"})
    asked = [office.ask(f"c{month}/wages/1/1", period_until=date(2025, month, 28)) for month in (1, 2)]
    office.look()
    assert [office.answered()[each]["data_as_of"] for each in asked] == [date(2025, 1, 28), date(2025, 2, 28)]


def test_without_an_authorisation_no_query_is_run(office: TaxOffice) -> None:
    office.write(WAGES | {"query": "SELECT no FROM such", "person": "SELECT no FROM such"})
    office.ask(authorisation="")
    assert [one.outcome for one in office.look()] == ["answered"]


@pytest.mark.parametrize("name", ["李安那", "LI ANNA", "李安娜\u200b", "", None])
def test_another_name_goes_to_a_person_and_is_not_judged(office: TaxOffice, name: str | None) -> None:
    asked = office.ask(party_name=name or "")
    assert [one.outcome for one in office.look()] == ["queued"]
    assert office.answered() == {}
    row = office.queued()[asked]
    assert (row["cause"], row["asker"], row["queued_at"], row["person"]) == (
        "name",
        "civil-affairs",
        NOW.replace(microsecond=123_000),
        None,
    )
    assert office.look() == []


def test_a_number_with_several_names_goes_to_a_person_unless_all_are_the_one(office: TaxOffice) -> None:
    with office.engine.begin() as connection:
        connection.execute(office.resident.insert().values(resident_id=NUMBER, name="李安娜"))
    office.ask()
    assert [one.outcome for one in office.look()] == ["answered"]
    with office.engine.begin() as connection:
        connection.execute(office.resident.insert().values(resident_id=NUMBER, name="王安娜"))
    office.ask("c2/wages/1/1")
    assert [one.outcome for one in office.look()] == ["queued"]


def test_names_are_compared_whole() -> None:
    assert is_same_name("ﾊﾝ", "ハン")
    assert not is_same_name("李", "李安娜")
    assert not is_same_name(7, "7")


def test_an_item_that_people_answer_is_queued(office: TaxOffice) -> None:
    asked = office.ask(item="study")
    assert [(one.item, one.outcome) for one in office.look()] == [("study", "queued")]
    assert office.queued()[asked]["cause"] == "by-person"


def test_a_withdrawn_question_and_one_to_others_are_not_answered(office: TaxOffice) -> None:
    office.withdraw(office.ask())
    office.ask("c2/wages/1/1", to="police")
    assert office.look() == []


def test_a_new_round_is_a_new_question(office: TaxOffice) -> None:
    first, second = office.ask(), office.ask("c1/wages/1/2", item="study")
    office.ask("c1/wages/1/3")
    office.look()
    assert office.answered().keys() == {first, "c1/wages/1/3"}
    assert office.queued().keys() == {second}


FAILS: list[tuple[dict[str, Any], str]] = [
    ({"query": "SELECT total FROM nowhere"}, "there is no such table (no such table: nowhere)"),
    ({"query": "SELEKT 1"}, "the SQL is not valid"),
    ({"query": "DELETE FROM income"}, "the SQL is not valid"),
    (
        {"query": "SELECT 1.234 AS total, 1 AS months, 1 AS over_limit, 'low' AS bracket"},
        "the number has more than 2 decimals",
    ),
    ({"query": "SELECT 1.2 AS total, 1 AS months, 1 AS over_limit, NULL AS bracket"}, "a range is one of low, high"),
    ({"query": "SELECT 1 AS total"}, "gives no column months, over_limit, bracket"),
    ({"query": f"{WAGES['query'].partition(' -- ')[0]} FROM income GROUP BY month"}, "more than one row"),
    ({"person": "SELECT name, 1 FROM resident"}, "more than one column"),
    ({"as_of": "SELECT 'canary-7f3a'"}, "`as_of` of broken of household gives no day"),
]


@pytest.mark.parametrize(("changes", "cause"), FAILS)
def test_a_query_that_fails_leaves_its_question_open_and_the_others_flow(
    office: TaxOffice, changes: dict[str, Any], cause: str
) -> None:
    office.write(WAGES | {"item": "broken"} | changes, WAGES)
    office.ask("c1/broken/1/1", item="broken")
    good = office.ask("c1/wages/1/1")
    failed, answered = office.look()
    assert (failed.item, failed.outcome, answered.outcome) == ("broken", "failed", "answered")
    assert failed.error is not None
    assert cause in failed.error.message
    assert "broken of household" in failed.error.message
    assert "canary" not in str(failed.error)
    assert NUMBER not in str(failed.error)
    assert office.answered().keys() == {good}
    assert office.queued() == {}
    office.write(WAGES | {"item": "broken"}, WAGES)
    assert [one.outcome for one in office.look()] == ["answered"]


def test_a_parameter_that_the_question_lacks_is_no_answer_for_null_finds_nothing(office: TaxOffice) -> None:
    office.ask(period_from=None)
    office.ask("c2/wages/1/1", parameters="{}")
    office.ask("c3/wages/1/1", parameters="[1]")
    office.ask("c4/wages/1/1", parameters='{"limit": "12345678901234.567"}')
    office.ask("c5/wages/1/1", parameters="[" * 100_000 + "]" * 100_000)
    office.ask("c6/wages/1/1", parameters='{"limit": 1e99999999999999999999}')
    errors = [one.error.message for one in office.look() if one.error]
    assert errors == [
        "`query` of wages of household needs period_from, which the question lacks",
        "`query` of wages of household needs limit, which the question lacks",
        "the question's `parameters` are no JSON object",
        "a parameter of the question has more than 15 digits",
        "the question's `parameters` are no JSON object",
        "the question's `parameters` are no JSON object",
    ]
    assert office.answered() == {}


@pytest.mark.parametrize(
    ("limit", "is_over"), [("30000.59", True), ("30000.60", False), ("9", True), ("100000", False)]
)
def test_a_parameter_that_is_a_number_is_compared_as_one(office: TaxOffice, limit: str, is_over: bool) -> None:
    asked = office.ask(parameters=json.dumps({"limit": limit, "other": 1}))
    office.look()
    assert json.loads(office.answered()[asked]["content"])["over_limit"] is is_over


def test_an_item_that_is_not_declared_is_reported_without_its_name(office: TaxOffice) -> None:
    office.ask(item="canary-7f3a")
    [one] = office.look()
    assert (one.type, one.item, one.outcome) == ("", "", "failed")
    assert "canary" not in str(one.error)


def test_an_id_that_another_asker_has_used_is_reported(office: TaxOffice) -> None:
    office.ask()
    office.look()
    with office.engine.begin() as connection:
        connection.execute(sa.text("UPDATE exchange_answers SET \"to\" = 'health'"))
    [one] = office.look()
    assert "has the id of one that health asked" in str(one.error)


def test_more_questions_than_a_page(office: TaxOffice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exchange.cases.answering.answer_store.PAGE", 3)
    asked = {office.ask(f"c{i:02d}/wages/1/1", item="study" if i % 4 == 0 else "wages") for i in range(11)}
    office.write(WAGES | {"query": "SELECT 1 AS no"}, STUDY)
    assert len(office.look()) == 11
    office.write(WAGES, STUDY)
    assert len(office.look()) == 8
    assert office.answered().keys() | office.queued().keys() == asked


def test_without_the_sinks_table_there_is_nothing_to_answer(office: TaxOffice) -> None:
    office.asked.metadata.drop_all(office.engine)
    assert office.look() == []
