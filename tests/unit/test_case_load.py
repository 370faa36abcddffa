"""Every mistake of a case type's file is reported in one run, at its line."""

from __future__ import annotations

import json
import re
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.cases.case_type import FindingRule
from exchange.cases.check import Parts, within_itself
from exchange.cases.load import CaseTypeError, examine, files, load
from exchange.contract.model import Contract
from exchange.document.problem import Problem
from exchange.document.yaml import read
from exchange.errors import ConfigError
from tests.rigs.cases import TODAY, connectors, contract, household_file

# Each line that ends in `#!` is one mistake, with the path and a part of the message expected for it.
WRONG = """\
type: houshold                                      #! type | the file's place says type household
department: tax                                     #! department | the file's place says department civil-affairs
titel: {zh: 低保, en: Aid}                           #! titel | not known
title: {zh: 低保}                                    #! title.en | missing
basis: ""                                           #! basis | at least 1
within: 18.5                                        #! within | integer
decided_by: Street office                           #! decided_by | pattern
authorised: maybe                                   #! authorised | boolean
items:
  - name: wages
    asks: taxx                                      #! items[0].asks | 'taxx' is not in the contract
    about: {day: query}
    within: 5
    parameters: [standard, standrd]                 #! items[0].parameters[1] | no parameter 'standrd'
    answer: {total: {shape: value, scale: 2}}
  - name: wages                                     #! items[1].name | given twice
    asks: civil-affairs                             #! items[1].asks | does not ask itself
    about: {day: query}
    within: 5
    answer: {total: {shape: value, scale: 2}}
  - name: deposits
    asks: housing-fund
    about: {period: a year}                         #! items[2].about.period | pattern
    within: 0                                       #! items[2].within | greater than
    remin: 3                                        #! items[2].remin | not known
    parameters: standard                            #! items[2].parameters | list
    answer:
      Total: {shape: count}                         #! items[2].answer.Total | pattern
      over: {shape: value}                          #! items[2].answer.over | goes with
      rest: {shape: count, unti: CNY}               #! items[2].answer.rest.unti | not known
  - name: homes                                     #! items[3].asks | missing
    about: {period: 1 month, day: query}            #! items[3].about | one of
    within: 5
    answer: {}                                      #! items[3].answer | at least 1
  - name: cars                                      #! items[4] | comes after `within`
    asks: police
    about: {day: query}
    within: 2
    remind: 3
    answer: {cars: {shape: count}}
  - cars                                            #! items[5] | Item
parameters:
  - {name: standard, region: "4401", from: 2016-01-01, until: 2018-01-01, value: "840.00", basis: Notice}
  - name: standard
    region: "4401"
    from: 2018-01-01                                #! parameters[1].from | holds until 2018-01-01
    until: 2019-12-31
    value: "950.00"
    basis: Notice
  - name: standard
    region: "4401"
    from: 2020-01-02                                #! parameters[2].from | from 2020-01-01 to 2020-01-01
    until: null
    value: "1080.00"
    basis: Notice
  - name: standard
    region: "4401"
    from: 2021-01-01                                #! parameters[3].from | holds without end
    until: 2021-12-31
    value: "1080.00"
    basis: Notice
  - {name: standard, region: "4403", from: 2016-01-01, until: 2018-01-01, value: "840.00", basis: Notice}
rules:
  - from: 2018-01-01                                #! rules[0].from | no rule from 2017-01-01 to 2017-12-31
    until: 2019-12-31
    python: household.py:finding_2017               #! rules[0].python | no function finding_2017
    basis: Measures
  - {from: 2016-01-01, until: 2016-12-31, python: household.py:finding_2016, basis: Measures}
  - from: 2020-01-01
    until: 2020-12-31
    python: none.py:finding                         #! rules[2].python | No such file
    basis: Measures
  - from: 2020-12-31                                #! rules[3].from | holds until 2020-12-31
    until: null
    python: broken.py:finding                       #! rules[3].python | not Python, line 2
    parameters: [standad]                           #! rules[3].parameters[0] | no parameter 'standad'
    basis: Measures
"""


# What one part lacks is not reported of the others, which may be meant.
LEFT_OUT = """\
parameters:
  - {name: standard, region: "4401", from: 2016-01-01, until: 2017-12-31, value: "840.00", basis: Notice}
  - {name: standard, region: "4401", from: 2018-01-01, until: 2019-12-31, value: 950.00, basis: Notice}
  - {name: standard, region: "4401", from: 2020-01-01, until: null, value: "1080.00", basis: Notice}
  - {name: deposit_limit, region: 4401, from: 2016-01-01, until: null, value: "20160.00", basis: Notice}
rules:
  - {from: 2016-01-01, until: 2016-12-31, python: household.py:finding_2016, basis: Measures}
  - {from: 2017-01-01, until: 2016-12-31, python: household.py:finding_2016, basis: Measures}
  - {from: 2018-02-30, until: 2019-12-31, python: ../household.py:finding_2016, basis: Measures}
  - {from: 2020-01-01, until: null, python: household.py:finding_2020, basis: Measures}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = household_file(connectors(tmp_path))
    (path.parent / "broken.py").write_text("x = 1\ndef finding(:\n")
    return path


def problems(file: Path, **changes: Any) -> list[tuple[str, str]]:
    return [(each.path, each.message) for each in examine(file, contract(**changes), TODAY).problems]


def test_the_example_has_no_mistake(file: Path) -> None:
    found = examine(file, contract(), TODAY)
    assert found.problems == ()
    assert found.case_type is not None
    assert (found.case_type.department, found.case_type.type) == ("civil-affairs", "household")
    assert load(file.parents[2], "civil-affairs", "household", contract(), TODAY) == found.case_type


def test_all_mistakes_in_one_run_with_their_lines(file: Path) -> None:
    file.write_text(WRONG)
    found = [(each.line, each.path, each.message) for each in examine(file, contract(), TODAY).problems]
    expected = []
    for line, text in enumerate(WRONG.splitlines(), 1):
        if "#!" in text:
            path, _, message = text.partition("#!")[2].partition("|")
            expected.append((line, path.strip(), message.strip()))
    for line, path, message in expected:
        assert any(each[:2] == (line, path) and message in each[2] for each in found), (line, path, message, found)
    assert [each for each in found if not any(each[:2] == one[:2] for one in expected)] == []
    assert len(found) == len(expected) >= 30


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 6) | st.none()), min_size=1, max_size=5))
def test_each_rule_follows_those_before_it_without_overlap_or_gap(periods: list[tuple[int, int | None]]) -> None:
    first = date(2020, 1, 1)
    rules = []
    for begin, length in sorted(periods, key=lambda period: period[0]):
        until = None if length is None else first + timedelta(begin + length)
        said = {"from": first + timedelta(begin), "until": until, "python": "a.py:b", "basis": "Law"}
        rules.append(FindingRule.model_validate(said))
    parts = Parts("tax", {}, {}, {("rules", i): rule for i, rule in enumerate(rules)}, frozenset())
    expected = {}
    for i, rule in enumerate(rules[1:], 1):
        if any(before.holds_on(rule.from_) for before in rules[:i]):
            expected["rules", i, "from"] = "another rule holds"
        elif not any(before.holds_on(rule.from_ - timedelta(days=1)) for before in rules[:i]):
            expected["rules", i, "from"] = "there is no rule from"
    found = {mistake.place: mistake.message for mistake in within_itself(parts)}
    assert found.keys() == expected.keys()
    assert all(found[place].startswith(start) for place, start in expected.items())


def test_loading_refuses_with_every_mistake(file: Path) -> None:
    file.write_text(WRONG)
    with pytest.raises(CaseTypeError) as refused:
        load(file.parents[2], "civil-affairs", "household", contract(), TODAY)
    assert len(refused.value.problems) >= 30
    assert "line 11, items[0].asks: error: department 'taxx' is not in the contract — did you mean tax?" in str(
        refused.value
    )


def test_what_a_wrong_part_would_say_is_not_missing(file: Path) -> None:
    head = file.read_text().partition("parameters:\n")[0]
    file.write_text(head + LEFT_OUT)
    assert problems(file) == [
        ("parameters[1].value", 'this is not a decimal number in quotes, such as "950.00"'),
        ("parameters[3].region", "input should be a valid string"),
        ("rules[1]", "it ends before it begins on 2017-01-01"),
        ("rules[2].from", "input should be a valid date or datetime, day value is outside expected range"),
        ("rules[2].python", "string should match pattern '^[A-Za-z0-9_][A-Za-z0-9_-]*\\.py:[A-Za-z_][A-Za-z0-9_]*$'"),
    ]


def test_remedies(file: Path) -> None:
    text = file.read_text().replace('region: "4401"', "region: 4401", 1).replace("within: 18", "withn: 18")
    file.write_text(text.replace("[deposit_limit]", "[deposit]").replace(":finding_2020", ":finding_2021"))
    remedies = {each.path: each.remedy for each in examine(file, contract(), TODAY).problems}
    assert remedies == {
        "within": "give `within: …`",
        "withn": "did you mean within?",
        "parameters[0].region": "put it in quotes",
        "rules[1].python": "did you mean finding_2020 or finding_2016?",
    }
    file.write_text(text.replace("region: 4401", 'region: "4401"').replace("[deposit_limit]", "[deposit_limt]"))
    remedies = {each.path: each.remedy for each in examine(file, contract(), TODAY).problems}
    assert remedies["items[2].parameters[0]"] == "did you mean deposit_limit?"


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        (
            {"without": ("civil-affairs.question",)},
            [("", "subject civil-affairs.question is not in the contract")],
        ),
        (
            {"without": ("tax.answer",)},
            [("items[0].asks", "subject tax.answer is not in the contract")],
        ),
        (
            {"without": ("civil-affairs.question.tax",)},
            [("items[0].asks", "civil-affairs.question is not granted to tax")],
        ),
        (
            {"without": ("planning.answer.civil-affairs",)},
            [("items[4].asks", "planning.answer is not granted to civil-affairs")],
        ),
        (
            {"civil_affairs_question_tax": {"where": {}}},
            [("items[0].asks", "grant civil-affairs.question.tax does not give tax those records")],
        ),
        (
            {"tax_answer_civil_affairs": {"where": {"to": {"eq": "tax"}}}},
            [("items[0].asks", "grant tax.answer.civil-affairs does not give civil-affairs those records")],
        ),
        (
            {"civil_affairs_question_tax": {"where": {"to": {"eq": "tax"}, "item": {"eq": "cars"}}}},
            [("items[0].asks", "grant civil-affairs.question.tax does not give tax those records")],
        ),
        (
            {"civil_affairs_question_tax": {"until": date(2026, 5, 31)}},
            [("items[0].asks", "civil-affairs.question is no longer granted to tax")],
        ),
        ({"civil_affairs_question_tax": {"until": TODAY}}, []),
    ],
)
def test_what_the_contract_lacks(file: Path, changes: dict[str, Any], found: list[tuple[str, str]]) -> None:
    there = problems(file, **changes)
    assert [path for path, _ in there] == [path for path, _ in found]
    for (_, message), (_, start) in zip(there, found, strict=True):
        assert message.startswith(start)
    assert examine(file, None, TODAY).problems == ()


def test_a_department_that_the_contract_does_not_have(file: Path) -> None:
    other = file.parents[2] / "civil-afairs" / "cases"
    file.parent.rename((other.parent.mkdir(), other)[1])
    [problem] = examine(other / file.name, contract(), TODAY).problems
    assert (problem.message, problem.remedy) == (
        "department 'civil-afairs' is not in the contract",
        "did you mean civil-affairs?",
    )


def test_a_region_without_a_value_for_today_is_a_warning(file: Path) -> None:
    text = file.read_text()
    more = '  - {name: standard, region: "4403", from: 2016-01-01, until: null, value: "900.00", basis: Notice}\n'
    file.write_text(text.replace("rules:\n", f"{more}rules:\n"))
    found = examine(file, contract(), TODAY)
    [problem] = found.problems
    assert problem.severity == "warning"
    assert "no value of 'deposit_limit' in region 4403 on 2026-06-01" in problem.message
    assert found.case_type is not None


def test_a_day_without_a_rule_is_a_warning(file: Path) -> None:
    head = re.sub(r"parameters: \[\w+\]", "parameters: []", file.read_text()).partition("parameters:\n")[0]
    rule = "{from: 2020-01-01, until: 2026-05-31, python: household.py:finding_2020, basis: Measures}"
    file.write_text(f"{head}rules:\n  - {rule}\n")
    [problem] = examine(file, contract(), TODAY).problems
    assert (problem.severity, problem.message) == (
        "warning",
        "case type household of civil-affairs has no rule on 2026-06-01",
    )


def test_a_list_that_is_none_hides_no_parameters(file: Path) -> None:
    head, _, tail = file.read_text().partition("parameters:\n  - {name: standard")
    rules = tail.partition("rules:\n")[2]
    file.write_text(f"{head}parameters: none\nrules:\n{rules}")
    assert problems(file) == [("parameters", "input should be a list")]


def test_a_function_outside_of_the_folder_is_not_taken(file: Path, tmp_path: Path) -> None:
    code = file.parent / "household.py"
    code.rename(tmp_path / "elsewhere.py")
    code.symlink_to(tmp_path / "elsewhere.py")
    assert {path for path, _ in problems(file)} == {"rules[0].python", "rules[1].python"}


def test_the_code_is_read_and_never_run(file: Path, tmp_path: Path) -> None:
    code = file.parent / "household.py"
    code.write_text(f"{code.read_text()}\nopen({str(tmp_path / 'ran')!r}, 'w')\n")
    assert problems(file) == []
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [("household.yml", "the file's name ends in .yml"), ("House hold.yaml", "the file's name is not a name of a type")],
)
def test_a_file_with_a_wrong_name(file: Path, name: str, message: str) -> None:
    renamed = file.rename(file.parent / name)
    assert files(file.parents[2]) == [renamed]
    assert message in {each.message for each in examine(renamed, contract(), TODAY).problems}


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "empty"), ("- 1", "not a mapping"), ("title: [", "not YAML"), ("title: &a 1\nbasis: *a", "alias *a")],
)
def test_a_file_that_is_no_case_type(file: Path, text: str, message: str) -> None:
    file.write_text(text)
    found = examine(file, contract(), TODAY).problems
    assert any(message in each.message for each in found)
    assert not any("version" in each.remedy for each in found)  # which a contract begins with, and a case type has not


def test_a_file_that_cannot_be_read(file: Path) -> None:
    file.unlink()
    file.mkdir()
    assert examine(file, contract(), TODAY).problems == (
        Problem(1, "", "cannot be read: Is a directory", "see who may read it"),
    )


def test_a_case_type_that_is_not_there(file: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean household"):
        load(file.parents[2], "civil-affairs", "houshold", contract(), TODAY)
    with pytest.raises(ConfigError, match="the department has none there"):
        load(file.parents[2], "tax", "household", contract(), TODAY)


def answering(connectors: Path, **answer: dict[str, Any]) -> None:
    """A connector of the police, which answers about cars in this shape, and about the register as it is asked."""
    words = {"state": ["alive", "dead", "moved_out"], "marriage": ["single", "married", "divorced", "widowed"]}
    register = {name: {"shape": "range", "values": values} for name, values in words.items()}
    entry = {"question": "civil-affairs.question", "type": "household", "by": "person"}
    answers = [{**entry, "item": "cars", "answer": answer}, {**entry, "item": "register", "answer": register}]
    config = {"department": "police", "answers": answers}
    (connectors / "police").mkdir(exist_ok=True)
    (connectors / "police" / "connector.yaml").write_text(json.dumps(config))


def test_who_is_asked_answers_no_more_than_is_asked(file: Path) -> None:
    answering(
        file.parents[2], car={"shape": "value", "scale": 2}, adapted={"shape": "predicate"}, plates={"shape": "count"}
    )
    more = "police/connector.yaml answers more than the item:"
    assert problems(file) == [
        ("items[3].answer", f"{more} 'car' says more than is asked: a value in place of a predicate"),
        ("items[3].answer", f"{more} 'plates' is not asked: one of: adapted, car"),
    ]
    assert examine(file, contract(), TODAY).case_type is None


def test_who_does_not_answer_what_is_asked_is_a_warning(file: Path) -> None:
    answering(file.parents[2], car={"shape": "predicate"})
    found = examine(file, contract(), TODAY)
    assert [(each.path, each.message, each.severity) for each in found.problems] == [
        ("items[3].asks", "police/connector.yaml does not answer adapted (predicate) of item 'cars'", "warning")
    ]
    assert found.case_type is not None
    answering(file.parents[2], car={"shape": "predicate"}, adapted={"shape": "range", "values": ["no", "yes"]})
    assert "answers more than the item" in str(problems(file))
    answering(file.parents[2], car={"shape": "predicate"}, adapted={"shape": "predicate"})
    assert problems(file) == []


def test_contract_case_type_and_rule_of_the_page_have_no_mistake(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "case-types.md").read_text("utf-8")
    agreed, case_type, rule = re.findall(r"```(?:yaml|python)\n(.*?)```", page, re.DOTALL)
    folder = tmp_path / "connectors" / "welfare" / "cases"
    folder.mkdir(parents=True)
    (folder / "fuel.yaml").write_text(case_type, "utf-8")
    (folder / "fuel.py").write_text(rule, "utf-8")
    found = Contract.model_validate(read(agreed.encode()).value)
    assert examine(folder / "fuel.yaml", found, TODAY).problems == ()
