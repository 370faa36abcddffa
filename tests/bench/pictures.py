"""`python -m tests.bench.pictures`: docs/pictures, drawn from the tables of docs/performance-tables.md."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.bench import svg
from tests.bench.candidates import CANDIDATES, LIMIT, ROUTER, WITHOUT_KEY, WITHOUT_LEDGER
from tests.bench.holdings import READERS

DOCS = Path(__file__).parents[2] / "docs"
TABLES = DOCS / "performance-tables.md"
PICTURES = DOCS / "pictures"
WORKLOADS = {
    "W0": "W0: whole records to one reader",
    "W1": "W1: whole records to three readers",
    "W2": "W2: filtered, cut, masked; two times three",
    "W3": "W3: W1 with the ledger, which no peer has",
    "W4": "W4: rows that change, filtered as in W2",
}
CONNECTORS = {
    "Changes from PostgreSQL's log": "C0: changes from a log to a topic",
    "A PostgreSQL table to a topic": "C1: a table to a topic",
    "Records of an inbox into a PostgreSQL table": "C2: a topic to a table",
    "A PostgreSQL table to another department's": "C3: from table to table",
}
CHANGES_AT_ONCE = "100"
"""Of the sizes of transactions in C0, the one that is drawn."""
WHOSE = {
    "connector": ("connector", "ours"),
    "source, router": ("exchange", "ours"),
    "Debezium": ("Debezium", "peer"),
    "COPY": ("limit", "limit"),
    "limit": ("limit", "limit"),
}
"""How candidates' titles begin: their name and style in the picture."""
_STYLE = {
    CANDIDATES[ROUTER].title: "ours",
    CANDIDATES[WITHOUT_LEDGER].title: "bare",
    CANDIDATES[WITHOUT_KEY].title: "bare",
    CANDIDATES[LIMIT].title: "limit",
}

Line = Mapping[str, str]


def tables(page: str) -> dict[str, list[Line]]:
    """The lines of each table of a page by the heading above, each as column → cell."""
    made: dict[str, list[Line]] = {}
    for heading, body in re.findall(r"^### (.+)\n\n((?:\|.*\n)+)", page, re.MULTILINE):
        header, _, *lines = ([cell.strip() for cell in line.split("|")[1:-1]] for line in body.splitlines())
        made[heading] = [dict(zip(header, line, strict=True)) for line in lines]
    return made


def pictures(page: str) -> dict[str, str]:
    """Name and SVG of every picture that the tables of a page give."""
    of = tables(page)
    return {
        "throughput.svg": throughput(of, 200),
        "throughput-1000.svg": throughput(of, 1000),
        "latency.svg": latency(of["Latency, publish to readable"]),
        "readers.svg": readers(of["1 to 30 readers"]),
        "subjects.svg": subjects(of["1 to 400 subjects"]),
        "holdings.svg": holdings(of["Rows that readers hold"]),
        "connectors.svg": connectors(of),
    }


def throughput(of: Mapping[str, Iterable[Line]], record_bytes: int) -> str:
    """Every candidate at every workload, in plain batches of 256 KB."""
    panels: dict[str, list[svg.Bar]] = {}
    for line in of["Throughput and processor time"]:
        workload, _, case = line["workload"].partition(", ")
        if case == f"{record_bytes} B, 256 KB":
            panels.setdefault(WORKLOADS[workload], []).append(_bar(line))
    what = "1,000 records of the source per second, exactly once, on two cores. Dashed: the broker alone, no reading."
    return svg.bars(f"Throughput with records of {record_bytes:,} bytes", what, panels)


def _bar(line: Line) -> svg.Bar:
    return svg.Bar(line["candidate"], _number(line["records/s"]), _STYLE.get(line["candidate"], "peer"))


def latency(lines: Iterable[Line]) -> str:
    """From the median to the 99th percentile."""
    of = {line["candidate"]: (_number(line["p50 ms"]), _number(line["p99 ms"])) for line in lines}
    style = {name: _STYLE.get(name, "peer") for name in of}
    what = "From the publisher's hand to a reader of committed records, at 10,000 records a second."
    return svg.spans("Latency: median and 99th percentile", what, of, style)


def readers(lines: Iterable[Line]) -> str:
    """Deliveries per second: records of the source times readers."""
    what = "1,000 deliveries per second: each record of the source goes to every reader, in one transaction."
    return svg.curves("One view for 1 to 30 readers", what, "readers", _curves(lines, "readers", deliveries=True))


def subjects(lines: Iterable[Line]) -> str:
    """Records per second, by the number of subjects over which they are spread."""
    what = "1,000 records of the source per second: as many records in all, of one reader per subject."
    return svg.curves("1 to 400 subjects", what, "subjects", _curves(lines, "subjects", deliveries=False))


def holdings(lines: Iterable[Line]) -> str:
    """Seconds until a restarted router delivers, by the number of rows that it remembers, for the usual readers."""
    what = "Seconds from the start of a router's process until a record of each of its 4 partitions is readable."
    usual = [line for line in lines if line["readers"] == str(READERS)]
    points = [(_number(line["rows"]), 1000 * _number(line["router back after s"])) for line in usual]
    return svg.curves(
        "A router that is started again", what, "rows that readers hold", [svg.Curve("router", "ours", points)]
    )


def connectors(of: Mapping[str, Iterable[Line]]) -> str:
    """Processor time of connectors beside Debezium's and beside what nobody can go below."""
    panels: dict[str, list[svg.Bar]] = {}
    for heading, name in CONNECTORS.items():
        for line in of.get(heading, ()):
            if line.get("transactions of", CHANGES_AT_ONCE) == CHANGES_AT_ONCE and line["rounds"]:
                value = next(float(cell) for column, cell in line.items() if column.startswith("CPU s per million"))
                who, style = next(whose for words, whose in WHOSE.items() if line["candidate"].startswith(words))
                panels.setdefault(name, []).append(svg.Bar(who, value, style))
    what = "CPU seconds per million rows, all processes but servers. Dashed: the least that moving the rows costs."
    return svg.bars("Connectors beside Debezium", what, panels, "{:.1f}".format)


def _curves(lines: Iterable[Line], size: str, *, deliveries: bool) -> list[svg.Curve]:
    points: dict[str, list[tuple[float, float]]] = {}
    for line in lines:
        x, rate = _number(line[size]), _number(line["records/s"])
        points.setdefault(line["candidate"], []).append((x, rate * x if deliveries else rate))
    return [svg.Curve(name, _STYLE.get(name, "peer"), sorted(at)) for name, at in points.items()]


def _number(cell: str) -> float:
    return float(cell.replace(",", ""))


def main() -> None:
    """Draw all pictures anew."""
    PICTURES.mkdir(exist_ok=True)
    for name, picture in pictures(TABLES.read_text()).items():
        (PICTURES / name).write_text(picture)


if __name__ == "__main__":
    main()
