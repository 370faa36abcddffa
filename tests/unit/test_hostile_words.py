"""Names and texts of others move no cursor, add no line to a log, and no sample to the metrics."""

from __future__ import annotations

import ast
import json
import logging
from dataclasses import replace
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import pytest
from click.testing import CliRunner
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

import exchange
from exchange import logs, metrics
from exchange.bus.rule import Rule
from exchange.bus.topic import Topic
from exchange.cli import contract, drift, main, plan_words
from exchange.cli.table import table
from exchange.errors import ConfigError, ExchangeError
from exchange.ledger.entry import SCHEMA_FILE
from exchange.plan.changes import RemoveAccess
from exchange.plan.find import Found
from exchange.plan.plan import Actual, make_plan
from exchange.printable import is_hidden
from exchange.schema import avro
from exchange.schema.registry import Registry
from tests.rigs.contracts import loaded

EVIL = "x\x1b[2J\x9b2J\u202ey\r\x08\x07\nNo drift."
SHOWN = r"x\x1b[2J\x9b2J\u202ey\r\x08\x07"
PACKAGE = Path(exchange.__file__).parent


def assert_shown(told: str) -> None:
    """The text is there, written out, and nothing in it works."""
    assert SHOWN in told
    assert not any(is_hidden(c) for c in told.replace("\n", ""))


@pytest.fixture
def hostile(tmp_path: Path) -> Found:
    """What `exchange plan` finds on a cluster where others have chosen names and settings."""
    contract = loaded(tmp_path)
    rules = frozenset((Rule(f"User:{EVIL}", "topic", "subject.tax.income", "literal", "read"),))
    topics = {"subject.tax.income": Topic(4, 1, {"note": EVIL}), f"inbox.{EVIL}": Topic(1, 1, {"retention.ms": "-1"})}
    actual = Actual(topics, Registry(), None, frozenset(), rules)
    plan = make_plan(contract, actual, avro.load(SCHEMA_FILE), datetime(2026, 6, 1, tzinfo=UTC))
    return Found(plan, (), (), b"", contract, actual, {})


def test_progress_takes_a_foreign_clusters_names_for_no_markup(hostile: Found) -> None:
    out = StringIO()
    for change in hostile.plan.changes:
        if isinstance(change, RemoveAccess):
            Console(file=out, width=1000).print(contract._shown(replace(change, target=f"{change.target}[/b]").text))
    assert_shown(out.getvalue())
    assert "[/b] NO LONGER" in out.getvalue()


def test_drift_shows_a_foreign_clusters_names(hostile: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift, "find", lambda *_: hostile)
    told = CliRunner().invoke(drift.drift, [], catch_exceptions=False, color=False).stdout
    assert_shown(told)
    assert "\nNo drift." not in told


def test_a_plan_shows_them(hostile: Found, capsys: pytest.CaptureFixture[str]) -> None:
    plan_words.show(replace(hostile.plan, notices=(EVIL,)))
    told = capsys.readouterr().out
    assert_shown(told)
    assert "\nNo drift." not in told


def test_a_table_shows_them_and_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    table(("basis", "count"), [(EVIL, 1000), ("[red]law[/] [/nothing]", 1)])
    told = capsys.readouterr().out
    assert_shown(told)
    assert "[red]law[/] [/nothing]" in told


@pytest.mark.parametrize("error", [ConfigError(EVIL), ConfigError("no", remedy=EVIL)])
def test_an_error_shows_them(
    error: ExchangeError, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(main, "exchange", fail)
    with pytest.raises(SystemExit):
        main.main()
    assert_shown(capsys.readouterr().err)


@pytest.mark.parametrize("formatter", [logs.JsonFormatter(), logs.TextFormatter()])
def test_a_log_line_stays_one_line(formatter: logging.Formatter) -> None:
    record = logging.makeLogRecord({"msg": f"took {EVIL}", "levelname": "INFO", "topic": EVIL, "levelno": 20})
    line = formatter.format(record)
    assert "\n" not in line
    assert "\x1b" not in line
    if isinstance(formatter, logs.JsonFormatter):
        assert json.loads(line)["topic"] == EVIL


def test_an_errors_words_add_no_line_to_a_log() -> None:
    try:
        raise ConfigError(f"{EVIL}\n2026 info    all is well")
    except ConfigError as error:
        record = logging.makeLogRecord({"msg": "failed", "exc_info": (type(error), error, None)})
    assert not any(line.startswith("2026") for line in logs.TextFormatter().format(record).splitlines())
    assert len(logs.JsonFormatter().format(record).splitlines()) == 1


def test_a_label_adds_no_sample() -> None:
    name = 'g"} 1\nexchange_epoch 99\n# x\\'
    registry = CollectorRegistry()
    registry.register(metrics.GRANT_EXPIRY)
    metrics.GRANT_EXPIRY.labels(name).set(5)
    try:
        [family] = text_string_to_metric_families(generate_latest(registry).decode())
    finally:
        metrics.GRANT_EXPIRY.remove(name)
    assert {"grant": name} in [sample.labels for sample in family.samples]
    assert {sample.name for sample in family.samples} == {"exchange_grant_expiry_timestamp_seconds"}


def test_csv_is_written_by_the_fictional_city_only() -> None:
    """Nothing of the bus becomes a cell that a spreadsheet would carry out as a formula."""
    writers = [
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in ("writer", "DictWriter")
        if isinstance(node.value, ast.Name) and node.value.id == "csv"
    ]
    assert sorted(writers) == ["demo/city/casework.py", "demo/city/office.py"]
