"""`make bench`: run every candidate, print medians and ratios, write build/bench.json."""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from exchange.broker import LocalBroker
from exchange.bus import Cluster
from exchange.bus.admin import Admin
from exchange.contract import names
from exchange.contract.topics import Topic
from exchange.settings import Settings
from tests.bench import measure, workload
from tests.bench.workload import Workload
from tests.kafka_fixtures import free_port

ROUTER, WITHOUT_LEDGER, CONFLUENT = "router", "router without ledger", "confluent-kafka copy"


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


def router(module: str) -> Callable[[Cluster, Workload, str], list[str]]:
    """The command of our router, whose code is in that module."""
    return lambda cluster, w, group: [sys.executable, "-m", module, "router", "run", "--instance", group]


def confluent(cluster: Cluster, w: Workload, group: str) -> list[str]:
    """The command of the confluent-kafka loop."""
    command = [sys.executable, "-m", "tests.bench.copy_confluent"]
    return [*command, cluster.bootstrap_servers, group, workload.SOURCE, *w.inboxes]


CANDIDATES = {
    ROUTER: router("exchange"),
    WITHOUT_LEDGER: router("tests.bench.route_without_ledger"),
    CONFLUENT: confluent,
}


@click.command()
@click.option("--quick", is_flag=True, help="Fewer records and rounds.")
@click.option("--rounds", type=click.IntRange(1), help="How often each candidate runs. [default: 5, quick 3]")
@click.option(
    "--records", type=click.IntRange(10_000), help="Records of each source. [default: 2,000,000, quick 600,000]"
)
def main(quick: bool, rounds: int | None, records: int | None) -> None:
    """Measure the router beside its peers."""
    rounds = rounds or (3 if quick else 5)
    records = records or (600_000 if quick else 2_000_000)
    runs: list[Run] = []
    for batch_kb in (16, 256):
        w = Workload("W3", 200, batch_kb, "none", 1, records)
        with tempfile.TemporaryDirectory() as folder:
            runs += run_workload(Path(folder), w, rounds)
    out = Path("build/bench.json")
    out.parent.mkdir(exist_ok=True)
    out.write_text("".join(json.dumps(asdict(run)) + "\n" for run in runs))
    report(runs)
    click.echo(f"every run: {out}")


def run_workload(home: Path, w: Workload, rounds: int) -> list[Run]:
    """All candidates in turn, `rounds` times, on one broker that is loaded once."""
    settings = Settings()
    jars = settings.home.resolve() / "broker" / "jars"
    broker = LocalBroker(home, free_port(), java=settings.java, maven=settings.maven, jars=jars)
    broker.start()
    try:
        cluster = Cluster(broker.bootstrap_servers, "bench")
        with Admin(cluster) as admin:
            large = {"max.message.bytes": str(8 << 20)}
            admin.create({topic: Topic(1, 1, large if topic == names.LEDGER else {}) for topic in w.topics()})
        loaded = workload.load(cluster, w)
        workload.publish_contract(cluster, w)
        env = {"EXCHANGE_BOOTSTRAP_SERVERS": broker.bootstrap_servers, "EXCHANGE_HOME": str(home)}
        env |= {"NUMBA_CACHE_DIR": os.environ.get("NUMBA_CACHE_DIR", "")} if "NUMBA_CACHE_DIR" in os.environ else {}
        runs = []
        for number in range(1, rounds + 1):
            for candidate, command in CANDIDATES.items():
                with Admin(cluster) as admin:
                    admin.delete_group(names.ROUTER_GROUP)
                group = f"bench.{number}.{len(runs)}"
                got = measure.run(cluster, command(cluster, w, group), env, w.inboxes, loaded)
                click.echo(
                    f"{w.name} {w.batch_kb:>4} KB round {number}: {candidate:<22} {got.records_per_s:>10,.0f} records/s"
                )
                runs.append(
                    Run(
                        w.name,
                        w.record_bytes,
                        w.batch_kb,
                        w.codec,
                        w.readers,
                        candidate,
                        round(got.records_per_s),
                        round(got.cpu_s_per_million, 2),
                        number,
                    )
                )
        return runs
    finally:
        broker.stop()


def report(runs: list[Run]) -> None:
    """Medians over the rounds, and their ratio to the peer."""
    table = Table("workload", "batches", "candidate", "records/s", "× confluent", "CPU s per million")
    for batch_kb in sorted({run.batch_kb for run in runs}):
        here = [run for run in runs if run.batch_kb == batch_kb]
        rate = {c: statistics.median(r.records_per_s for r in here if r.candidate == c) for c in CANDIDATES}
        cpu = {c: statistics.median(r.cpu_s_per_million for r in here if r.candidate == c) for c in CANDIDATES}
        for candidate in CANDIDATES:
            ratio = rate[candidate] / rate[CONFLUENT]
            table.add_row(
                here[0].workload,
                f"{batch_kb} KB",
                candidate,
                f"{rate[candidate]:,.0f}",
                f"{ratio:.2f}",
                f"{cpu[candidate]:.2f}",
            )
        cost = 1 - rate[ROUTER] / rate[WITHOUT_LEDGER]
        table.add_section()
        click.echo(f"{batch_kb} KB batches: the ledger costs {cost:.0%} of the throughput")
    Console().print(table)


if __name__ == "__main__":
    main()
