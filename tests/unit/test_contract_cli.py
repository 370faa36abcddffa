"""`exchange validate` and `exchange schema export` as commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from exchange.cli.contract import schema, validate
from exchange.contract.json_schema import contract_schema
from tests.rigs.cases import connectors, household_file, write_contract
from tests.rigs.contracts import CONTRACT, INCOME, write


@pytest.fixture
def contract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = write(tmp_path, CONTRACT.replace("2026-12-31", "2099-12-31"))
    monkeypatch.setenv("EXCHANGE_CONTRACT", str(path))
    monkeypatch.setenv("EXCHANGE_CONNECTORS", str(tmp_path / "connectors"))
    return path


def _validate(*options: str) -> Result:
    return CliRunner().invoke(validate, options)


def test_a_right_contract(contract: Path) -> None:
    result = _validate()
    assert (result.exit_code, result.output) == (0, "2 departments, 1 subject, 1 grant: in order\n")


def test_readers_that_a_schema_change_touches(contract: Path, tmp_path: Path) -> None:
    before = write(tmp_path / "before", contract.read_text())
    contract.write_text(contract.read_text().replace("[resident_id, amount]", "all"))
    note = {"name": "note", "type": "string", "default": ""}
    write(contract.parent, contract.read_text(), [*(f for f in INCOME if f["name"] != "filed_on"), note])
    result = _validate("--against", str(before))
    assert result.exit_code == 0
    assert f"{contract}:17 grants[0]: warning: grant g1 does not give civil the new field note" in result.output
    assert "civil no longer gets field filed_on of tax.income" in result.output
    assert json.loads(_validate("--against", str(contract), "--output", "json").stdout) == []


def test_mistakes_as_text(contract: Path) -> None:
    contract.write_text(contract.read_text().replace("reader: civil", "reader: civl").replace("amount", "amuont"))
    result = _validate()
    assert result.exit_code == 2
    assert f"{contract}:19 grants[0].reader: error: department 'civl' is not in this contract" in result.output
    assert "did you mean amount?" in result.output
    assert "2 errors, 0 warnings" in result.output


def test_mistakes_as_json(contract: Path) -> None:
    contract.write_text(contract.read_text().replace("2099-12-31", "2026-01-02"))
    result = _validate("--output", "json")
    assert result.exit_code == 0
    [problem] = json.loads(result.stdout)
    assert problem == {
        "line": 23,
        "path": "grants[0].until",
        "message": "the grant expired on 2026-01-02: it delivers nothing",
        "remedy": "renew it with a new review, or remove it",
        "severity": "warning",
    }


@pytest.fixture
def case_file(contract: Path) -> Path:
    """A case type in the folder of connectors, and a contract under which it is right."""
    write_contract(contract.parent)
    return household_file(connectors(contract.parent))


def test_case_types_of_all_connectors_are_checked(case_file: Path) -> None:
    result = _validate()
    assert (result.exit_code, result.output) == (0, "16 departments, 16 subjects, 30 grants, 1 case type: in order\n")
    other = case_file.parents[2] / "tax" / "cases" / "debtor.yaml"
    other.parent.mkdir(parents=True)
    other.write_text("within: 5\n")
    case_file.write_text(case_file.read_text().replace("asks: police", "asks: polise"))
    result = _validate()
    assert result.exit_code == 2
    line = case_file.read_text().splitlines().index("    asks: polise") + 1
    assert (
        f"{case_file}:{line} items[3].asks: error: department 'polise' is not in the contract — did you mean police?"
        in result.output
    )
    assert f"{other}:1 decided_by: error: 'decided_by' is missing" in result.output
    assert "in order" not in result.output


def test_mistakes_of_case_types_as_json_say_in_which_file(case_file: Path) -> None:
    write_contract(case_file.parents[3], without=("planning.answer.civil-affairs",))
    result = _validate("--output", "json")
    assert result.exit_code == 2
    [problem] = json.loads(result.stdout)
    assert (problem["file"], problem["path"]) == (str(case_file), "items[4].asks")
    assert problem["message"] == "planning.answer is not granted to civil-affairs"


def test_if_the_contract_is_wrong_case_types_are_checked_in_themselves(contract: Path, case_file: Path) -> None:
    contract.write_text(contract.read_text().replace('"owner": "tax"', '"owner": "txa"'))
    case_file.write_text(case_file.read_text().replace("within: 18", "within: soon"))
    result = _validate()
    assert result.exit_code == 2
    assert "department 'txa' is not in this contract" in result.output
    assert f"{case_file}:3 within: error: input should be a valid integer" in result.output
    assert "is not granted" not in result.output


def test_the_json_schema_is_written(tmp_path: Path) -> None:
    target = tmp_path / "contract.json"
    assert CliRunner().invoke(schema, ["export", str(target)]).exit_code == 0
    assert target.read_text(encoding="utf-8") == contract_schema()
