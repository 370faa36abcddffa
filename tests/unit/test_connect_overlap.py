"""Parts of one connector that would take from, or write over, each other are refused by `check` and by `run`."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from exchange.connect import load, runner
from exchange.connect.database import Paths
from exchange.connect.overlap import overlaps

POSTGRES = "postgresql+psycopg://exchange@db/tax"


def places(tmp_path: Path, sources: str = "", sinks: str = "", database: str = "sqlite:///tax.db") -> list[str]:
    """Where the connector of these parts is refused; `home` is the project's folder."""
    folder = tmp_path / "tax"
    folder.mkdir(exist_ok=True)
    text = f"department: tax\ndatabase: {database}\nsources: [{sources}]\nsinks: [{sinks}]\n"
    (folder / "connector.yaml").write_text(text)
    return [p.path for p in overlaps(load.load(tmp_path, "tax"), Paths(folder, tmp_path))]


def drop(name: str, folder: str, pattern: str = "*.csv") -> str:
    return f'{{subject: tax.{name}, csv: {{folder: "{folder}", pattern: "{pattern}"}}}}'


def sink(subject: str, table: str | None = None, database: str | None = None) -> str:
    options = {"table": table, "database": database}
    return f"{{subject: {subject}" + "".join(f', {key}: "{value}"' for key, value in options.items() if value) + "}"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("drop", "drop"),
        ("drop", "drop/"),
        ("drop", "./x/../drop"),
        ("drop", "${home}/tax/drop"),
        ("drop", "link"),
        ("drop", "drop/taken"),
        ("drop", "drop/done"),
        ("drop/refused", "drop"),
        ("drop/taken/deeper", "drop"),
        ("not-made", "not-made/x/.."),
        ("behind/a", "link/a"),
    ],
)
def test_two_sources_with_one_folder(tmp_path: Path, one: str, other: str) -> None:
    (tmp_path / "tax" / "drop").mkdir(parents=True)
    (tmp_path / "tax" / "link").symlink_to("drop")
    (tmp_path / "tax" / "behind").symlink_to("link")
    sources = f"{drop('births', one, 'births-*.csv')}, {drop('deaths', other, 'deaths-*.csv')}"
    assert places(tmp_path, sources) == ["sources[1].csv.folder"]


def test_folders_of_their_own_are_fine(tmp_path: Path) -> None:
    (tmp_path / "tax" / "drop").mkdir(parents=True)
    names = ["drop", "drop/deeper", "drop2", "${home}/drop", "taken"]
    assert places(tmp_path, ", ".join(drop(f"s{i}", name) for i, name in enumerate(names))) == []


@pytest.mark.parametrize(
    ("folder", "pattern"),
    [
        (".", "*"),
        (".", "*.yaml"),
        (".", "tax.*"),
        ("../tax", "password"),
        (".", "*.py"),
        ("${home}/rejects", "*"),
        ("${home}/rejects", "inbox.*"),
        ("${home}/rejects", "*.births.jsonl"),
    ],
)
def test_a_source_that_would_take_the_connectors_own_files(tmp_path: Path, folder: str, pattern: str) -> None:
    """They would be published, the password among them, and moved away."""
    table = "{subject: tax.x, table: x, cursor: {time: t, id: i}, transform: 'transform.py:x'}"
    database = "{url: 'sqlite:///tax.db', password_file: password}"
    found = places(tmp_path, f"{table}, {drop('births', folder, pattern)}", sink("civil.a"), database)
    assert found == ["sources[1].csv.folder"]
    assert places(tmp_path, f"{table}, {drop('births', folder)}", sink("civil.a"), database) == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (sink("civil.a", "x"), sink("civil.b", "x")),
        (sink("civil.a"), sink("police.b", "civil_a")),
        (sink("a.b-c"), sink("a-b.c")),
        (sink("civil.a", "x"), sink("civil.b", "main.x")),
        (sink("civil.a", "x"), sink("civil.b", "X")),
        (sink("civil.a", "x"), sink("civil.b", "x", "sqlite:///${home}/tax/../tax/tax.db")),
        (sink("civil.a", "x"), sink("civil.b", "x", "sqlite:///other.db")),
        (sink("civil.a", "x", POSTGRES), sink("civil.b", "public.x", POSTGRES)),
        (sink("civil.a", "x", POSTGRES), sink("civil.b", "x", "postgresql://someone@db:5432/tax?connect_timeout=3")),
        (
            sink("civil.a", "x", "postgresql://u@localhost/tax"),
            sink("civil.b", "x", "postgresql://u@/tax?host=127.0.0.1"),
        ),
        (sink("civil.a", "x", "postgresql://u@localhost/tax"), sink("civil.b", "x", "postgresql:///tax?host=/var/run")),
        (sink("civil.a", "y" * 63 + "1", POSTGRES), sink("civil.b", "y" * 63 + "2", POSTGRES)),
    ],
)
def test_two_sinks_with_one_table(tmp_path: Path, one: str, other: str) -> None:
    (tmp_path / "tax").mkdir()
    (tmp_path / "tax" / "other.db").symlink_to("tax.db")
    [place] = places(tmp_path, sinks=f"{one}, {other}")
    assert place in ("sinks[1].table", "sinks[1].subject")


def test_tables_of_their_own_are_fine(tmp_path: Path) -> None:
    different: list[Any] = [
        sink("civil.a", "x"),
        sink("civil.b", "y"),
        sink("civil.c", "x", "sqlite:///other.db"),
        sink("civil.d", "s.x", POSTGRES),
        sink("civil.e", "t.x", POSTGRES),
        sink("civil.f", "s.X", POSTGRES),
        sink("civil.g", "s.x", POSTGRES + "2"),
        sink("civil.h", "s.x", POSTGRES.replace("/tax", ":5433/tax")),
    ]
    assert places(tmp_path, sinks=", ".join(different)) == []


def test_a_table_may_be_filled_and_read(tmp_path: Path) -> None:
    """What comes in from others can be what a department publishes on, with a cursor of its own."""
    sources = (
        "{subject: tax.x, table: x, cursor: {time: t, id: i}}, {subject: tax.y, table: x, cursor: {time: t, id: i}}"
    )
    assert places(tmp_path, sources, sink("civil.a", "x")) == []


@pytest.mark.parametrize("table", ["exchange_offsets", "public.exchange_copies", "EXCHANGE_DELETIONS"])
def test_the_exchanges_own_tables_are_no_sinks(tmp_path: Path, table: str) -> None:
    assert places(tmp_path, sinks=sink("civil.a", table)) == ["sinks[0].table"]
    assert places(tmp_path, sinks=sink("exchange.offsets")) == ["sinks[0].subject"]


def test_run_refuses_before_it_asks_the_cluster(tmp_path: Path) -> None:
    places(tmp_path, f"{drop('births', 'drop')}, {drop('deaths', 'drop')}")
    connector = load.load(tmp_path, "tax")
    with pytest.raises(load.ConnectorConfigError, match=r"line 3, sources\[1\].csv.folder: .* sources\[0\]"):
        runner.start(None, connector, tmp_path, threading.Event())  # type: ignore[arg-type]
