"""What a case type says for a day and region, and that it never says what holds on another day instead."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from exchange.cases.case_type import About, CaseType, NothingInForceError, Parameter, SeveralInForceError
from tests.rigs.cases import household


@pytest.fixture
def case_type(tmp_path: Path) -> CaseType:
    return household(tmp_path)


@pytest.mark.parametrize(
    ("day", "standard", "rule"),
    [
        ("2016-01-01", "840.00", "finding_2016"),
        ("2017-12-31", "840.00", "finding_2016"),
        ("2018-01-01", "950.00", "finding_2016"),
        ("2019-12-31", "950.00", "finding_2016"),
        ("2020-01-01", "1080.00", "finding_2020"),
        ("2099-12-31", "1080.00", "finding_2020"),
    ],
)
def test_the_rule_and_the_values_change_at_midnight(case_type: CaseType, day: str, standard: str, rule: str) -> None:
    terms = case_type.in_force(date.fromisoformat(day), "4401")
    assert terms.rule.python == f"household.py:{rule}"
    assert str(terms.parameters["standard"].value) == standard


def test_a_rule_takes_only_the_parameters_that_it_names(case_type: CaseType) -> None:
    of_2016 = set(case_type.in_force(date(2019, 1, 1), "4401").parameters)
    assert of_2016 > {"standard", "deposit_limit"}
    assert set(case_type.in_force(date(2020, 1, 1), "4401").parameters) - of_2016 == {"edge_factor", "work_cost"}


def test_what_an_item_sends_is_there_even_if_the_rule_does_not_name_it(case_type: CaseType) -> None:
    rules = [rule.model_copy(update={"parameters": ()}) for rule in case_type.rules]
    terms = case_type.model_copy(update={"rules": tuple(rules)}).in_force(date(2019, 1, 1), "4401")
    assert set(terms.parameters) == {"deposit_limit", "new_job_months"}


@pytest.mark.parametrize(
    ("day", "region", "missing"),
    [
        ("2015-12-31", "4401", "rule on 2015-12-31"),
        ("2020-01-01", "4403", "value of 'deposit_limit' in region 4403 on 2020-01-01"),
        ("2020-01-01", "44", "value of 'deposit_limit' in region 44 "),
    ],
)
def test_what_is_missing_is_an_error_and_no_default(case_type: CaseType, day: str, region: str, missing: str) -> None:
    with pytest.raises(NothingInForceError, match=f"case type household of civil-affairs has no {missing}"):
        case_type.in_force(date.fromisoformat(day), region)


@pytest.mark.parametrize("doubled", ["rules", "parameters"])
def test_two_at_once_are_an_error_and_no_choice(case_type: CaseType, doubled: str) -> None:
    twice = case_type.model_copy(update={doubled: getattr(case_type, doubled) * 2})
    with pytest.raises(SeveralInForceError, match="more than one"):
        twice.in_force(date(2020, 1, 1), "4401")


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("950.00", True),
        ("-0.5", True),
        ("0", True),
        (950.0, False),
        (950, False),
        ("9.5e2", False),
        ("1_000", False),
        (" 950", False),
        ("９５０", False),
        ("NaN", False),
        ("950.", False),
        ("9" * 39, False),
        (None, False),
        (True, False),
    ],
)
def test_numbers_of_parameters_keep_their_decimals(text: Any, right: bool) -> None:
    said = {"name": "standard", "region": "4401", "from": date(2018, 1, 1), "basis": "Notice", "value": text}
    if right:
        value = Parameter.model_validate(said).value
        assert isinstance(value, Decimal)
        assert str(value) == text
        return
    with pytest.raises(ValidationError, match="decimal number in quotes"):
        Parameter.model_validate(said)


@pytest.mark.parametrize(
    ("about", "day", "times"),
    [
        ({"period": "12 months"}, "2026-06-15", ("2025-06-01", "2026-05-31", None)),
        ({"period": "12 months"}, "2026-01-01", ("2025-01-01", "2025-12-31", None)),
        ({"period": "1 month"}, "2024-03-31", ("2024-02-01", "2024-02-29", None)),
        ({"period": "3 months"}, "2026-02-28", ("2025-11-01", "2026-01-31", None)),
        ({"day": "query"}, "2026-06-15", (None, None, "2026-06-15")),
    ],
)
def test_questions_are_about_whole_months_or_the_day(about: Any, day: str, times: tuple[str | None, ...]) -> None:
    found = About.model_validate(about).times(date.fromisoformat(day))
    assert tuple(found) == tuple(part and date.fromisoformat(part) for part in times)
