"""`exchange connector list` and `check`, as text and as JSON, with their exit statuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from exchange.cli.connect import connector

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EXCHANGE_HOME", str(tmp_path))
    monkeypatch.setenv("EXCHANGE_CONTRACT", str(ROOT / "topics.yaml"))
    monkeypatch.setenv("EXCHANGE_CONNECTORS", str(ROOT / "connectors"))


def test_the_citys_connectors_are_listed() -> None:
    listed = json.loads(CliRunner().invoke(connector, ["list", "--output", "json"]).stdout)
    assert {"tax", "police"} <= {row["department"] for row in listed}
    assert "tax.income-return" in next(row for row in listed if row["department"] == "tax")["sources"]
    assert "tax: publishes tax.income-return" in CliRunner().invoke(connector, ["list"]).stdout


def test_check_fails_where_there_is_an_error() -> None:
    # The city's databases are not there.
    answer = CliRunner().invoke(connector, ["check", "tax"])
    assert answer.exit_code == 2
    assert "tax/connector.yaml: line 5, sources[0].table: error: there is no database file" in answer.stdout
    problems = json.loads(CliRunner().invoke(connector, ["check", "tax", "--output", "json"]).stdout)
    assert {problem["severity"] for problem in problems} == {"error"}


def test_check_passes_with_warnings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "connectors" / "ecology"
    folder.mkdir(parents=True)
    (folder / "connector.yaml").write_text(
        "department: ecology\nsources:\n  - {subject: ecology.penalty, csv: {folder: drop}}\n"
    )
    monkeypatch.setenv("EXCHANGE_CONNECTORS", str(tmp_path / "connectors"))
    answer = CliRunner().invoke(connector, ["check", "ecology"])
    assert answer.exit_code == 0
    assert answer.stdout.endswith("0 errors, 1 warning\n")


def test_an_unknown_department_names_those_there_are() -> None:
    answer = CliRunner().invoke(connector, ["check", "nobody"])
    assert answer.exit_code == 1
    assert "police" in getattr(answer.exception, "remedy", "")
