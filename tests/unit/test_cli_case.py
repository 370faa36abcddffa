"""`exchange case queue` and `exchange case answer`, on the department's own database."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from exchange.cases.answering.item_queries import WrongShapeError
from exchange.cases.answering.person_queue import NotQueuedError, ReasonMissingError
from exchange.cli.main import exchange
from tests.rigs.answering import STUDY, WAGES, TaxOffice

ASKED = "c1/study/1/1"


@pytest.fixture
def office(tmp_path: Path) -> Iterator[TaxOffice]:
    made = TaxOffice(f"sqlite:///{tmp_path}/tax.db", tmp_path)
    yield made
    made.close()


@pytest.fixture
def case(office: TaxOffice) -> Callable[..., Result]:
    """A command of `exchange case tax`, by the person `li`."""
    settings = {"EXCHANGE_CONNECTORS": str(office.folder), "EXCHANGE_HOME": str(office.folder / "home")}

    def run(command: str, *options: str) -> Result:
        words = ["case", command, "tax", *options]
        return CliRunner().invoke(exchange, words, env=settings | {"EXCHANGE_OPERATOR": "li"})

    return run


def test_the_queue_says_what_is_asked_about_whom_and_why_it_is_there(
    office: TaxOffice, case: Callable[..., Result]
) -> None:
    assert case("queue").output == "0 questions\n"
    office.ask(ASKED, item="study", party_name="王五", period_from=None, period_until=None)
    office.ask("c2/wages/1/1", party_name="张三\x1b[2K")
    office.look()
    assert case("queue").output.splitlines() == [
        "c1/study/1/1: study of household, for civil-affairs, due on 2026-03-08",
        "  440106199001010011 王五; people answer this item; since 2026-03-01T12:00:00+08:00",
        "c2/wages/1/1: wages of household, for civil-affairs, due on 2026-03-08",
        "  440106199001010011 张三\\x1b[2K, 2025-01-01 to 2025-12-31; the number has another name here; "
        "since 2026-03-01T12:00:00+08:00",
        "2 questions",
    ]
    [first, _] = json.loads(case("queue", "--output", "json").output)
    assert (first["cause"], first["asker"], first["question"]["party_name"]) == ("by-person", "civil-affairs", "王五")


@pytest.mark.parametrize(
    ("options", "status", "content", "reason"),
    [
        (["--found", "enrolled=true", "--found", "years=3"], "found", '{"enrolled":true,"years":3}', None),
        (["--nothing-found"], "nothing_found", "{}", None),
        (["--not-identified"], "not_identified", "{}", None),
        (["--refused", "sealed by a court"], "refused", "{}", "sealed by a court"),
    ],
)
def test_a_person_answers(
    office: TaxOffice,
    case: Callable[..., Result],
    options: list[str],
    status: str,
    content: str,
    reason: str | None,
) -> None:
    office.ask(ASKED, item="study")
    office.look()
    assert case("answer", ASKED, *options).exit_code == 0
    row = office.answered()[ASKED]
    assert (row["status"], row["content"], row["reason"], row["answered_by"]) == (status, content, reason, "person")
    assert (row["data_as_of"] is not None) == (status in ("found", "nothing_found"))
    assert office.queued()[ASKED]["person"] == "li"
    assert case("queue").output == "0 questions\n"
    assert isinstance(case("answer", ASKED, *options).exception, NotQueuedError)
    assert office.look() == []


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--found", "enrolled=true"], "study of household lacks years"),
        (["--found", "enrolled=yes", "--found", "years=3"], "enrolled of study of household: a predicate is true or"),
        (["--found", "enrolled=true", "--found", "years=-3"], "years of study of household: a count is a whole"),
        (["--found", "enroled=true", "--found", "years=3"], "study of household has no value enroled"),
    ],
)
def test_what_was_found_has_the_shape_that_is_declared(
    office: TaxOffice, case: Callable[..., Result], options: list[str], error: str
) -> None:
    office.ask(ASKED, item="study")
    office.look()
    caught = case("answer", ASKED, *options).exception
    assert isinstance(caught, WrongShapeError)
    assert caught.message.startswith(error)
    assert office.answered() == {}


def test_one_way_to_answer_and_a_reason_for_a_refusal(office: TaxOffice, case: Callable[..., Result]) -> None:
    office.ask(ASKED, item="study")
    office.look()
    assert case("answer", ASKED).exit_code == 2
    assert case("answer", ASKED, "--nothing-found", "--not-identified").exit_code == 2
    assert case("answer", ASKED, "--found", "enrolled").exit_code == 2
    assert isinstance(case("answer", ASKED, "--refused", " ").exception, ReasonMissingError)
    assert office.answered() == {}


def test_only_questions_of_the_queue_are_answered_by_people(office: TaxOffice, case: Callable[..., Result]) -> None:
    office.ask(ASKED, item="study")
    assert isinstance(case("answer", ASKED, "--nothing-found").exception, NotQueuedError)
    office.look()
    office.withdraw(ASKED)
    assert case("queue").output == "0 questions\n"
    assert isinstance(case("answer", ASKED, "--nothing-found").exception, NotQueuedError)


def test_an_item_that_is_not_answered_any_more_can_still_be_refused(
    office: TaxOffice, case: Callable[..., Result]
) -> None:
    office.ask(ASKED, item="study")
    office.look()
    office.write(WAGES)
    assert isinstance(case("answer", ASKED, "--found", "enrolled=true").exception, NotQueuedError)
    assert case("answer", ASKED, "--refused", "not ours any more").exit_code == 0
    office.write(WAGES, STUDY)
    assert office.look() == []
