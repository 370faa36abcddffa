"""Parquet files against a real Kafka: each delivery is in one file through kills, and a grant's end takes them away."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from pyarrow import parquet

from tests.rigs.deliveries import KEY, Sent, deliver, drain, income, row_name, send
from tests.rigs.project import Project


def connect(project: Project, key: tuple[str, ...] = KEY, **contract: Any) -> Path:
    """Apply the contract, and write a connector that drops the inbox's records as files; return their folder."""
    project.key = key
    project.apply(**contract)
    folder = project.folder / "analysts"
    drop = {"folder": str(folder), "rows": 700, "every": "1s"}
    project.connector(project.reader, sinks=[{"subject": project.subject, "parquet": drop}])
    return folder


def rows(folder: Path) -> list[dict[str, Any]]:
    """What an analyst reads."""
    files = sorted(folder.glob("[!.]*.parquet"))
    return [row for path in files for row in parquet.ParquetFile(path).read().to_pylist()]


def test_deliveries_and_withdrawals_are_rows(project: Project) -> None:
    folder = connect(project)
    send(project, Sent(*income(1)), Sent(*income(2)))
    drain(project)
    send(project, Sent(income(1)[0], None, row_name(project, 1)))
    drain(project)
    found = rows(folder)
    assert [(row["_operation"], row["serial"], row["resident_id"]) for row in found] == [
        ("upsert", 1, income(1)[1]["resident_id"]),
        ("upsert", 2, income(2)[1]["resident_id"]),
        ("withdraw", 1, income(1)[1]["resident_id"]),
    ]
    assert (found[0]["amount"], found[0]["paid_on"]) == (Decimal("1234567890.10"), date(2025, 2, 28))
    assert found[0]["recorded_at"] == income(1)[1]["recorded_at"]
    assert found[2]["amount"] is None


def test_kills_neither_lose_nor_repeat(project: Project) -> None:
    random.seed(11)
    folder = connect(project, key=())
    drain(project)
    expected: Counter[int] = Counter()
    for start in range(0, 4 * 1600, 1600):
        deliver(project, {p: [income(start + 4 * i + p) for i in range(400)] for p in range(4)})
        expected.update(range(start, start + 1600))
        before = len(list(folder.iterdir()))
        command = [str(Path(sys.executable).parent / "exchange"), "connector", "run", project.reader]
        with (project.folder / "log").open("ab") as log:
            process = subprocess.Popen(command, env={**os.environ, **project.environment()}, stdout=log, stderr=log)
        deadline = time.monotonic() + 180
        while len(list(folder.iterdir())) == before and time.monotonic() < deadline:
            time.sleep(random.random() / 50)
        process.send_signal(signal.SIGKILL)
        process.wait()
    drain(project)
    assert Counter(row["serial"] for row in rows(folder)) == expected
    assert not list(folder.glob(".*.parquet"))
