"""C0: the changes of a PostgreSQL table, from its log to a topic: our connector and Debezium, both exactly once."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import click
import psycopg
from sqlalchemy import make_url

from exchange.connect.cdc.setup import name_of
from exchange.names import subject_topic
from tests.bench import java_peers, measure
from tests.bench.kafka_connect import Connect
from tests.bench.measure import CandidateFailedError
from tests.bench.results import Run
from tests.bench.rig import LOGS, Rig, rig
from tests.bench.workload import ENTITY, SCHEMA
from tests.rigs.databases import Server, running_server
from tests.rigs.project import Project

OURS, DEBEZIUM = "connector", "debezium"
TITLES = {OURS: "connector, `cdc: postgresql`", DEBEZIUM: "Debezium on Kafka Connect"}
TRANSACTIONS = (1, 100, 10_000)
"""Changes of one transaction on the database."""
TARGET = 0.5
"""Of Debezium's processor time."""
RECORD_BYTES = 150
_OWNER, _READER = "registry", "reader"

TABLE = """
    CREATE TABLE {name} (
        resident_id text PRIMARY KEY, district text, year int, month int, amount bigint, tax bigint, paid boolean,
        kind text, payer text, since date, updated timestamptz(3), note text
    )
"""
"""As `SCHEMA` says."""
ROW = """
    '4401' || lpad(({n})::text, 14, '0'), '4401' || lpad((({n}) % 15)::text, 2, '0'), 2020 + ({n}) % 6, 1 + ({n}) % 12,
    ({n}) * 7919 % 100000000, ({n}) * 104729 % 10000000, ({n}) % 2 = 0, substr('ABC', 1 + (({n}) % 3)::int, 1),
    CASE WHEN ({n}) % 4 = 0 THEN '91440101' || lpad(({n})::text, 10, '0') END, date '2020-01-01' + (({n}) % 28)::int,
    clock_timestamp(), rpad(({n})::text, 50, 'note ')
"""
# Of ten changes five insert, four change what was inserted, one deletes; a commit after every so many.
_CHANGES = """
    DO $$
    DECLARE n bigint; change int;
    BEGIN
        FOR i IN 0 .. {changes} - 1 LOOP
            n := i / 10 * 5;
            change := i % 10;
            IF change < 5 THEN
                INSERT INTO {name} SELECT {row};
            ELSIF change < 9 THEN
                UPDATE {name} SET amount = amount + 1, paid = NOT paid, updated = clock_timestamp()
                WHERE resident_id = '4401' || lpad((n + change - 4)::text, 14, '0');
            ELSE
                DELETE FROM {name} WHERE resident_id = '4401' || lpad(n::text, 14, '0');
            END IF;
            IF (i + 1) % {at_once} = 0 THEN
                COMMIT;
            END IF;
        END LOOP;
    END $$
"""


@dataclass(frozen=True)
class _Table:
    """One table; both candidates take the same changes, each through a slot of its own."""

    name: str
    server: Server
    broker: Rig
    project: Project

    @property
    def subject(self) -> str:
        return f"{_OWNER}.{self.name}"

    def make(self) -> None:
        """Empty, with its publication."""
        publication = f"CREATE PUBLICATION {name_of(self.subject)} FOR TABLE {self.name}"
        execute(self.server, TABLE.format(name=self.name), publication)

    def change(self, changes: int, at_once: int) -> None:
        """Commit so many changes."""
        execute(self.server, changing(self.name, changes, at_once))

    def ours(self) -> _Ready:
        """Our connector, which has made its slot."""
        url = self.server.url()
        source = {"subject": self.subject, "table": self.name, "cdc": "postgresql"}
        self.project.connector(_OWNER, database=url, sources=[source])
        command = [sys.executable, "-m", "exchange", "connector", "run", _OWNER]
        env = self.project.environment() | {"EXCHANGE_LOG_LEVEL": "WARNING"}
        log = LOGS / f"{OURS}-{self.name}.log"
        with measure.running([*command, "--until-idle"], env, log) as process:
            if process.wait(60):
                raise CandidateFailedError(f"ended with status {process.returncode}, see {log}")
        return _Ready(command, env, log, subject_topic(self.subject))

    def debezium(self) -> _Ready:
        """Debezium's connector, which has made its slot."""
        name, topic = f"{DEBEZIUM}-{self.name}", f"{DEBEZIUM}.public.{self.name}"
        log = LOGS / f"{name}.log"
        self.broker.fresh([topic])
        connect = Connect(self.broker.cluster.bootstrap_servers, name, self.broker.folder, log)
        with connect.running() as process:
            connect.create(name, debezium(self.server, self.name, name_of(self.subject)), process)
        return _Ready(connect.command, {}, log, topic)


@dataclass(frozen=True)
class _Ready:
    """A candidate that has only to be started, and the topic that it fills."""

    command: list[str]
    env: Mapping[str, str]
    log: Path
    topic: str


def changing(table: str, changes: int, at_once: int) -> str:
    """The statement that makes so many changes, with a commit after every `at_once` of them."""
    return _CHANGES.format(name=table, changes=changes, at_once=at_once, row=ROW.format(n="n + change"))


def debezium(server: Server, table: str, publication: str) -> dict[str, str]:
    """Debezium's connector for the changes of a table; what makes its transactions and batches larger makes it fast."""
    url = make_url(server.url())
    return {
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "tasks.max": "1",
        "exactly.once.support": "required",
        "transaction.boundary": "interval",
        "transaction.boundary.interval.ms": "100",
        "database.hostname": str(url.host),
        "database.port": str(url.port),
        "database.user": str(url.username),
        "database.password": "",
        "database.dbname": str(url.database),
        "topic.prefix": DEBEZIUM,
        "table.include.list": f"public.{table}",
        "plugin.name": "pgoutput",
        "slot.name": f"{DEBEZIUM}_{table}",
        "publication.name": publication,
        "publication.autocreate.mode": "disabled",
        "snapshot.mode": "no_data",
        "tombstones.on.delete": "false",
        "max.batch.size": "8192",
        "max.queue.size": "32768",
    }


def measured(rounds: int, *, quick: bool) -> Iterator[Run]:
    """Both candidates for each size of transaction, on a broker and a server of their own."""
    changes = 100_000 if quick else 400_000
    java_peers.fetch_connect()
    sizes = TRANSACTIONS[1:2] if quick else TRANSACTIONS
    tables = [(turn, at_once, f"changes{turn}x{at_once}") for turn in range(1, rounds + 1) for at_once in sizes]
    with rig() as broker, running_server() as server:
        project = Project(broker.folder / "capture", broker.cluster, _OWNER, _READER)
        project.folder.mkdir()
        subjects = tuple(name for _, _, name in tables)
        project.apply(SCHEMA, partitions=1, subjects=subjects, key=(ENTITY,))
        for turn, at_once, name in tables:
            for candidate, run in _table(_Table(name, server, broker, project), changes, at_once):
                what = f"C0 round {turn}: {candidate}, transactions of {at_once:,}"
                if isinstance(run, Exception):
                    click.echo(f"{what} FAILED: {run}", err=True)
                    continue
                rate, cpu = round(run.records_per_s), round(run.cpu_s_per_million, 2)
                click.echo(f"{what} {cpu} s per million, {rate:,} changes/s (over {run.counted:,})", err=True)
                case = ("C0", RECORD_BYTES, 256, "none", 1, candidate, rate, cpu, turn)
                served, peak = round(run.server_cpu_s_per_million, 2), round(run.peak_mb)
                yield Run(*case, transaction_rows=at_once, server_cpu_s_per_million=served, memory_mb=peak)


def _table(table: _Table, changes: int, at_once: int) -> Iterator[tuple[str, measure.Measured | Exception]]:
    """What each candidate makes of the same changes, or why it could not."""
    table.make()
    ready: dict[str, _Ready | Exception] = {}
    for candidate, prepare in ((OURS, table.ours), (DEBEZIUM, table.debezium)):
        try:
            ready[candidate] = prepare()
        except (CandidateFailedError, subprocess.TimeoutExpired) as error:
            ready[candidate] = error
    table.change(changes, at_once)
    for candidate, it in ready.items():
        try:
            yield candidate, it if isinstance(it, Exception) else _run(table, it, changes)
        except CandidateFailedError as error:
            yield candidate, error


def _run(table: _Table, it: _Ready, changes: int) -> measure.Measured:
    """Until the last change is there, so that it shows if one is missing."""
    expected, server = {it.topic: changes}, table.server.pid
    return measure.run(table.broker.cluster, it.command, it.env, it.log, expected, changes, math.inf, server)


def execute(server: Server, *statements: str, database: str = "postgres") -> None:
    """Run statements, each in a transaction of its own."""
    with psycopg.connect(server.url(database, "postgresql"), autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())
