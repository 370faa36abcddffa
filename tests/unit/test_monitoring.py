"""The dashboards are what Grafana can import, and `exchange monitoring export` writes them safely."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from exchange.cli.main import exchange
from exchange.monitoring.dashboards import DASHBOARDS
from exchange.monitoring.export import ExportError, RunbooksError, SelectorError, contents, export
from exchange.monitoring.grafana import Dashboard, as_json

ROOT = Path(__file__).parents[2]
UNITS = {"s", "short", "none", "rps", "ops", "Bps", "bytes", "percentunit"}
FILES = {
    *(f"dashboards/{name}.json" for name in ("overview", "department", "router", "connector", "ledger")),
    "rules/alerts.yml",
    "prometheus.example.yml",
}


def panels(made: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in made["panels"] if panel["type"] != "row"]


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda one: one.name)
def test_every_panel_says_what_it_shows(dashboard: Dashboard) -> None:
    for panel in panels(as_json(dashboard)):
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
        assert all(target["legendFormat"] for target in panel["targets"]), panel["title"]
        assert len(panel["targets"]) == len({target["refId"] for target in panel["targets"]}) > 0, panel["title"]


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda one: one.name)
def test_data_source_and_job_are_chosen_on_the_page(dashboard: Dashboard) -> None:
    made = as_json(dashboard)
    variables = {one["name"] for one in made["templating"]["list"]}
    assert {"datasource", "job", "filters"} <= variables
    assert set(re.findall(r'"uid": "(.*?)"', json.dumps(made))) == {"${datasource}", f"exchange-{dashboard.name}"}
    used = {name for name in re.findall(r"\$(\w+)", json.dumps(made)) if not name.startswith("__")}
    assert used - {"1"} <= variables
    assert "job=" not in re.sub(r'job=~\\"\$job\\"', "", json.dumps(made))


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda one: one.name)
def test_panels_lie_side_by_side(dashboard: Dashboard) -> None:
    taken: set[tuple[int, int]] = set()
    made = as_json(dashboard)
    for panel in made["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in made["panels"]}) == len(made["panels"])


def test_a_row_that_is_full_goes_on_below() -> None:
    [dashboard] = (one for one in DASHBOARDS if one.name == "department")
    places = {panel["title"]: panel["gridPos"] for panel in panels(as_json(dashboard))}
    assert places["Published records"] == {"x": 0, "y": 1, "w": 8, "h": 8}
    assert places["Withdrawn from readers"] == {"x": 0, "y": 9, "w": 8, "h": 8}


def test_export_writes_everything_and_again_nothing(tmp_path: Path) -> None:
    texts = contents()
    assert texts.keys() == FILES
    assert {str(path.relative_to(tmp_path)) for path in export(tmp_path, texts, force=False)} == FILES
    assert export(tmp_path, texts, force=False) == []
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()} == FILES


def test_export_writes_what_is_missing(tmp_path: Path) -> None:
    export(tmp_path, contents(), force=False)
    (tmp_path / "rules" / "alerts.yml").unlink()
    assert export(tmp_path, contents(), force=False) == [tmp_path / "rules" / "alerts.yml"]


def test_a_changed_file_is_overwritten_with_force_only(tmp_path: Path) -> None:
    export(tmp_path, contents(), force=False)
    changed, missing = tmp_path / "prometheus.example.yml", tmp_path / "rules" / "alerts.yml"
    changed.write_text("mine")
    missing.unlink()
    with pytest.raises(ExportError, match=r"prometheus\.example\.yml: there already, with another content — .*--force"):
        export(tmp_path, contents(), force=False)
    assert changed.read_text() == "mine"
    assert not missing.exists(), "all of it or nothing"
    assert export(tmp_path, contents(), force=True) == [missing, changed]
    assert changed.read_text() == contents()["prometheus.example.yml"]


@pytest.mark.parametrize("inside", ["", "rules", "rules/alerts.yml/x", "prometheus.example.yml/x"])
def test_a_folder_that_cannot_be_is_said(tmp_path: Path, inside: str) -> None:
    folder = tmp_path / "export"
    wrong = folder / inside
    wrong.parent.mkdir(parents=True, exist_ok=True)
    wrong.write_text("a file, where a folder or another file is to be")
    with pytest.raises(ExportError, match="cannot be written: ") as refused:
        export(folder, contents(), force=True)
    assert str(folder) in refused.value.message
    assert not list(tmp_path.rglob("*.part"))


def test_the_selector_is_in_every_rule_of_a_daemon() -> None:
    mine = 'job="bus",env=~"prod|spare"'
    rules = contents(mine)["rules/alerts.yml"]
    assert 'job="exchange"' not in rules
    assert "exchange_epoch{" + mine + "}) != min(exchange_epoch{" + mine + "})" in rules
    assert "(exchange_grant_requests_overdue)" in rules, "which comes by another job"
    assert f"up{{{mine}}} == 0" in rules
    assert f'exchange_connector_rows_total{{{mine},outcome="rejected"}}[15m]' in rules


@pytest.mark.parametrize("wrong", ["exchange", 'job="a"} or up{x="y', 'job="a" env="b"', "job=exchange", 'job="a\n"'])
def test_what_is_no_selector_is_refused(wrong: str) -> None:
    with pytest.raises(SelectorError, match="give label matchers"):
        contents(wrong)


def test_alerts_and_panels_link_to_the_runbooks_of_that_address() -> None:
    texts = contents(runbooks="https://wiki.example/exchange/monitoring")
    assert not [path for path, text in texts.items() if "docs/monitoring.md#" in text]
    for path in ("rules/alerts.yml", "dashboards/overview.json"):
        assert "https://wiki.example/exchange/monitoring#exchangedaemondown" in texts[path]


@pytest.mark.parametrize(
    "wrong", ["", "wiki", "https://wiki/#page", 'https://wiki/"x', "javascript:alert(1)", "https://a b"]
)
def test_what_is_no_address_is_refused(wrong: str) -> None:
    with pytest.raises(RunbooksError, match="https://"):
        contents(runbooks=wrong)


def test_the_command_says_what_it_wrote(tmp_path: Path) -> None:
    first = CliRunner().invoke(exchange, ["monitoring", "export", str(tmp_path)])
    assert first.exit_code == 0
    assert f"{tmp_path}/dashboards/overview.json\n" in first.output
    assert "7 files written, 0 were there already" in first.output
    again = CliRunner().invoke(exchange, ["monitoring", "export", str(tmp_path), "--runbooks", "docs/monitoring.md"])
    assert "0 files written, 7 were there already" in again.output


def test_panels_link_to_runbooks_that_exist() -> None:
    page = (ROOT / "docs" / "monitoring.md").read_text("utf-8")
    linked = {panel.alert for dashboard in DASHBOARDS for panel in dashboard.panels if panel.alert}
    assert linked == set(re.findall(r"^### (Exchange\w+)$", page, re.MULTILINE)), "each alert is on a panel"


def test_what_is_no_python_is_in_the_wheel() -> None:
    """An installed package has the data that pyproject.toml names, no other."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    given = {path for room, globs in declared.items() for glob in globs for path in ROOT.glob(_pattern(room, glob))}
    there = {path for path in (ROOT / "exchange").rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert {path for path in there if path.suffix != ".py"} == given


def _pattern(room: str, glob: str) -> str:
    return f"{room.replace('.', '/')}/{glob}"
