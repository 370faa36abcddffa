"""Log lines hold the message and the allowed fields, and nothing of a library's error."""

from __future__ import annotations

import ast
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka.errors import Cancelled, NodeNotReadyError, UnstableOffsetCommitError

from exchange import logs
from exchange.errors import ConfigError, TransientError

PACKAGE = Path(logs.__file__).parent
SECRET = "440106199001011234"


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    root, exchange = logging.getLogger(), logging.getLogger("exchange")
    handlers, levels = root.handlers[:], (root.level, exchange.level)
    stream = io.StringIO()
    logs.configure("INFO", stream=stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    exchange.setLevel(levels[1])


def test_a_line_has_the_allowed_fields_only(lines: io.StringIO) -> None:
    extra = {"topic": "subject.tax.return", "partition": 7, "value": SECRET, "subject": {"nested": SECRET}}
    logging.getLogger("exchange.router").info("quarantined", extra=extra)
    line = json.loads(lines.getvalue())
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "info",
        "logger": "exchange.router",
        "message": "quarantined",
        "topic": "subject.tax.return",
        "partition": 7,
    }


def test_what_a_client_waits_for_or_gives_up_is_no_error(lines: io.StringIO) -> None:
    logging.getLogger("kafka.cluster").error("Metadata refresh: failed %s", Cancelled())
    logging.getLogger("kafka.coordinator.consumer").error("Unknown error: %s", UnstableOffsetCommitError())
    assert lines.getvalue() == ""
    logging.getLogger("kafka.cluster").error("Metadata refresh: failed %s", NodeNotReadyError())
    assert json.loads(lines.getvalue())["message"].startswith("Metadata refresh: failed NodeNotReadyError")


def test_what_a_client_repeats_while_the_broker_is_away_is_told_once_a_minute(
    lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tell() -> None:
        for wait_s in (0.05, 0.11):
            logging.getLogger("kafka.net.manager").warning(f"not ready; waiting {wait_s} secs")
            logging.getLogger("kafka.net.manager").error("Connection failed: %s", wait_s)
            logging.getLogger("exchange.router").warning("transaction given up")

    def told() -> list[str]:
        made = [json.loads(line)["message"] for line in lines.getvalue().splitlines()]
        lines.truncate(0)
        lines.seek(0)
        return made

    tell()
    first = ["not ready; waiting 0.05 secs", "Connection failed: 0.05", "transaction given up", "transaction given up"]
    assert told() == first
    tell()
    assert told() == ["transaction given up"] * 2
    monkeypatch.setattr(logs, "REPEAT_S", 0.0)
    tell()
    assert len(told()) == 6


def test_a_line_that_differs_by_an_address_in_memory_is_told_once_a_minute(lines: io.StringIO) -> None:
    for address in ("0x7f67c2c963d0", "0x7f67c2cfcf10"):
        logging.getLogger("kafka.net.selector").warning(f"Task <Task object at {address}> ran for 0.104s")
    assert len(lines.getvalue().splitlines()) == 1


def test_a_librarys_error_is_named_but_not_quoted(lines: io.StringIO) -> None:
    try:
        try:
            raise ValueError(f"duplicate key {SECRET}")
        except ValueError as cause:
            raise TransientError("the database refused a step") from cause
    except TransientError:
        logging.getLogger("exchange.ledger").exception("trying again")
    assert SECRET not in lines.getvalue()
    chain = json.loads(lines.getvalue())["exception"]
    assert chain[0] == "exchange.errors.TransientError [transient]: the database refused a step"
    assert "builtins.ValueError" in chain


def test_libraries_are_heard_from_warning_on(lines: io.StringIO) -> None:
    logging.getLogger("kafka.client").info("chatter")
    assert lines.getvalue() == ""


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ConfigError, match="EXCHANGE_LOG_LEVEL"):
        logs.configure("LOUD")


def test_people_get_text() -> None:
    record = logging.makeLogRecord({"msg": "took an epoch", "levelname": "INFO", "epoch": 3, "value": SECRET})
    line = logs.TextFormatter().format(record)
    assert line.endswith("info    took an epoch epoch=3")


def logged(module: ast.Module) -> set[str]:
    """The keys of all that is given as `extra=`: of dicts, and of those that its names and functions stand for."""
    found, seen = set(), set()
    todo = [node.value for node in ast.walk(module) if isinstance(node, ast.keyword) and node.arg == "extra"]
    while todo:
        for node in ast.walk(todo.pop()):
            if isinstance(node, ast.Dict):
                found.update(key.value for key in node.keys if isinstance(key, ast.Constant))
            elif isinstance(node, ast.Name) and node.id not in seen:
                seen.add(node.id)
                todo += _meanings(module, node.id)
    return {name for name in found if isinstance(name, str)}


def _meanings(module: ast.Module, name: str) -> Iterator[ast.AST]:
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef) and node.name == name:
            yield node
        elif isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets):
            yield node.value


def test_the_fields_that_are_allowed_are_those_that_the_code_logs() -> None:
    assert {
        name for path in PACKAGE.rglob("*.py") for name in logged(ast.parse(path.read_text("utf-8")))
    } == logs.FIELDS


def test_logged_fields_are_found_wherever_they_are_made() -> None:
    module = """
told = {"named": 1}
def made(): return {"returned": 1} | ({"joined": 2} if told else {})
log.info("x", extra={**told, "here": 1} | made())
other = {"not_logged": 1}
"""
    assert logged(ast.parse(module)) == {"named", "returned", "joined", "here"}
