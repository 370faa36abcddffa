"""Results: one JSON object per run, and what they say together."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from tests.bench.candidates import CANDIDATES, CONFLUENT, LIMIT, ROUTER, STREAMS, WITHOUT_KEY, WITHOUT_LEDGER
from tests.bench.workload import VIEWS

OUT = Path("build/bench.json")


class Case(NamedTuple):
    """What is compared with each other."""

    workload: str
    record_bytes: int
    batch_kb: int
    codec: str
    readers: int


@dataclass(frozen=True)
class Run:
    """One measured run, as it stands in build/bench.json."""

    workload: str
    record_bytes: int
    batch_kb: int
    codec: str
    readers: int
    candidate: str
    records_per_s: float
    cpu_s_per_million: float
    round: int
    subjects: int = 1
    p50_ms: float | None = None
    p99_ms: float | None = None
    rows: int | None = None
    restart_s: float | None = None
    row_bytes: float | None = None
    memory_mb: float | None = None
    transaction_rows: int | None = None
    server_cpu_s_per_million: float | None = None
    first_row_s: float | None = None
    runs_s: float | None = None
    """Seconds until the candidate ran, as it says itself."""
    processes: Mapping[str, Sequence[float]] | None = None
    """CPU seconds per million and most MB of each process, by what it does, where a run has several."""

    @property
    def case(self) -> Case:
        """Which runs it is compared with."""
        return Case(self.workload, self.record_bytes, self.batch_kb, self.codec, self.readers)

    @property
    def core_share(self) -> float:
        """Of one processor core, while it ran."""
        return self.records_per_s * self.cpu_s_per_million / 1e6

    def as_json(self) -> str:
        """One line; what only some workloads have is left out elsewhere."""
        extra = {"subjects": self.subjects if self.workload == "subjects" else None}
        told = asdict(self) | extra
        return json.dumps({name: value for name, value in told.items() if value is not None})


def read(path: Path) -> list[Run]:
    """The runs of such a file."""
    return [Run(**json.loads(line)) for line in path.read_text().splitlines()]


@dataclass(frozen=True)
class Row:
    """One candidate in one case: medians over the rounds; the router's (`ours`) rate as a multiple of it."""

    case: Case
    candidate: str
    records_per_s: float
    cpu_s_per_million: float
    rounds: int
    ours: dict[str, float]

    @property
    def title(self) -> str:
        """The candidate as people know it."""
        return CANDIDATES[self.candidate].title


def rows(runs: Iterable[Run]) -> list[Row]:
    """The medians of W0 to W4, case by case."""
    grouped: dict[Case, dict[str, list[Run]]] = {}
    for run in runs:
        if run.workload in VIEWS:
            grouped.setdefault(run.case, {}).setdefault(run.candidate, []).append(run)
    made = []
    for case, of_case in sorted(grouped.items()):
        rate = {c: statistics.median(r.records_per_s for r in of_case[c]) for c in CANDIDATES if c in of_case}
        for candidate, value in rate.items():
            cpu = statistics.median(r.cpu_s_per_million for r in of_case[candidate])
            ours = {c: rate[c] / value for c in (ROUTER, WITHOUT_LEDGER) if c in rate}
            made.append(Row(case, candidate, value, cpu, len(of_case[candidate]), ours))
    return made


@dataclass(frozen=True)
class Verdict:
    """One target of the project, and how far it is reached in one case."""

    case: Case
    what: str
    target: float
    got: float


def verdicts(of: Iterable[Row]) -> list[Verdict]:
    """The ratios that the project has set itself, where both sides were measured."""
    rate: dict[Case, dict[str, Row]] = {}
    for row in of:
        rate.setdefault(row.case, {})[row.candidate] = row
    made = []
    for case, by in rate.items():
        ours = ROUTER if case.workload in ("W3", "W4") else WITHOUT_LEDGER
        for workloads, peer, target in (
            (("W0", "W1"), STREAMS, 3.0),
            (("W0", "W1"), CONFLUENT, 4.0),
            (("W1",), LIMIT, 0.7),
            (("W2",), STREAMS, 2.0),
            (("W2",), CONFLUENT, 4.0),
            (("W3",), STREAMS, 2.5),
            (("W4",), WITHOUT_KEY, 0.8),
        ):
            if case.workload in workloads and peer in by and ours in by:
                what = f"{by[ours].title} ÷ {by[peer].title}"
                made.append(Verdict(case, what, target, by[peer].ours[ours]))
        if case.workload == "W0" and ROUTER in by and CONFLUENT in by:
            made.append(Verdict(case, "router, ledger on ÷ confluent-kafka", 1.5, by[CONFLUENT].ours[ROUTER]))
    return made


def ledger_costs(of: Iterable[Row]) -> list[tuple[Case, float]]:
    """The share of the throughput that the ledger takes, where both routers were measured."""
    return [(row.case, 1 - row.ours[ROUTER]) for row in of if row.candidate == WITHOUT_LEDGER and ROUTER in row.ours]
