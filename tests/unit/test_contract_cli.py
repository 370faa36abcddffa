"""`exchange validate` and `exchange schema export` as commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from exchange.cli.contract import schema, validate
from exchange.contract.json_schema import contract_schema
from tests.rigs.contracts import CONTRACT, INCOME, write


@pytest.fixture
def contract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = write(tmp_path, CONTRACT.replace("2026-12-31", "2099-12-31"))
    monkeypatch.setenv("EXCHANGE_CONTRACT", str(path))
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


def test_the_json_schema_is_written(tmp_path: Path) -> None:
    target = tmp_path / "contract.json"
    assert CliRunner().invoke(schema, ["export", str(target)]).exit_code == 0
    assert target.read_text(encoding="utf-8") == contract_schema()
