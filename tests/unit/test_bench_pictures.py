"""The pictures of docs/performance.md are those that its tables give, and every one is shown."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.bench import database_tables, pictures, svg, table
from tests.bench.pictures import DOCS, PICTURES, TABLES
from tests.bench.results import Run


def test_pictures_are_drawn_from_the_tables() -> None:
    drawn = pictures.pictures(TABLES.read_text())
    assert {path.name: path.read_text() for path in PICTURES.iterdir()} == drawn, "run python -m tests.bench.pictures"


def test_every_picture_is_shown() -> None:
    page = (DOCS / "performance.md").read_text()
    assert [path.name for path in PICTURES.iterdir() if f"(pictures/{path.name})" not in page] == []


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("| W0, 200 B, 256 KB | router | 919,327 |", "| W0, 200 B, 256 KB | router | 819,327 |", "throughput.svg"),
        (
            "| W2, 1000 B, 256 KB | router | 298,653 |",
            "| W2, 1000 B, 256 KB | router | 98,653 |",
            "throughput-1000.svg",
        ),
        ("| router | 10,036 | 45 | 79 |", "| router | 10,036 | 45 | 89 |", "latency.svg"),
        ("| router | 30 | 40,905 |", "| router | 30 | 30,905 |", "readers.svg"),
        ("| router | 400 | 625,894 |", "| router | 400 | 525,894 |", "subjects.svg"),
        ("| 10,000,000 | 6 | ", "| 10,000,000 | 6 | 1", "holdings.svg"),
        ("| 100 | connector, `cdc: postgresql` | ", "| 100 | connector, `cdc: postgresql` | 1", "connectors.svg"),
    ],
)
def test_a_changed_figure_changes_its_picture(old: str, new: str, changed: str) -> None:
    page = TABLES.read_text()
    before, after = pictures.pictures(page), pictures.pictures(page.replace(old, new))
    assert [name for name in before if before[name] != after[name]] == [changed]


def test_every_connector_is_drawn_beside_its_peer_and_its_limit() -> None:
    runs = [
        Run(workload, 150, 256, "none", 1, candidate, 9_000, 7.5, 1, server_cpu_s_per_million=2.0)
        for workload, titles in database_tables.TITLES.items()
        for candidate in titles
    ]
    runs = [replace(run, transaction_rows=100) if run.workload == "C0" else run for run in runs]
    picture = pictures.connectors(pictures.tables(table.document(runs)))
    assert [words for words in pictures.CONNECTORS.values() if words not in picture] == []
    assert picture.count(">7.5<") == len(runs)


def test_bars_are_as_long_as_their_values() -> None:
    picture = svg.bars(
        "Title", "what", {"W0": [svg.Bar("router", 1_000_000, "ours"), svg.Bar("peer", 500_000, "peer")]}
    )
    assert 'class="ours" x="170.0" y="98.0" width="210.0"' in picture
    assert 'class="peer" x="170.0" y="120.0" width="105.0"' in picture


def test_labels_of_lines_that_end_together_stand_apart() -> None:
    same = [svg.Curve(name, "peer", [(1, 10), (30, 20)]) for name in ("first", "second")]
    picture = svg.curves("Title", "what", "readers", same)
    heights = [
        float(line.split('y="')[1].split('"')[0])
        for line in picture.splitlines()
        if "first<" in line or "second<" in line
    ]
    assert heights[1] - heights[0] == pytest.approx(18)
