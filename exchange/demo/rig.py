"""The whole exchange on one machine: broker, city, contract and every daemon, step by step."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from exchange import names
from exchange.audit.questions import Selection, balance_of_partitions
from exchange.broker import configured
from exchange.bus import Cluster
from exchange.bus.connection import connect
from exchange.bus.probe import cluster_id
from exchange.cli.options import today
from exchange.contract.load import Loaded, load
from exchange.demo import later, legacy, worked_cases
from exchange.demo.city.expect import Expectations
from exchange.demo.city.live import live
from exchange.demo.city.make import Life, Manifest, write_manifest
from exchange.demo.city_commands import build
from exchange.demo.processes import TAIL_LINES, Daemon, Processes
from exchange.demo.worked_cases import WorkedCase
from exchange.errors import ConfigError, TransientError
from exchange.keys import pseudonym_key
from exchange.ledger.store import LedgerStore, ledger_url
from exchange.records import warm_up, warm_up_source
from exchange.settings import Settings, environment

ROUTERS = 2
RESTARTS = 3
STALLED_S = 240.0
START_S = 300.0
SETTLED_POLLS = 3
_POLL_S = 1.0


class StepFailedError(ConfigError):
    """A step of the demo did not succeed; its output says why."""

    code = "step-failed"
    remedy = "see the output above"


class StalledDemoError(TransientError):
    """Records stopped moving before all had arrived."""

    code = "demo-stalled"
    remedy = "see the logs of what did not move"


@dataclass
class Flow:
    """How the records moved; `seconds` from the first poll until the last record arrived."""

    published: int = 0
    delivered: int = 0
    seconds: float = 0.0
    restarts: dict[str, int] = field(default_factory=dict)


class Rig:
    """Every part of the exchange under the settings' home folder."""

    def __init__(self, settings: Settings, console: Console) -> None:
        self.settings = settings
        self.console = console
        self.processes = Processes(settings.home, settings.metrics_host)
        self.loaded: Loaded = load(settings.contract, today())
        self._before: dict[str, dict[str, float]] = {}

    @property
    def cluster(self) -> Cluster:
        """The cluster, with the administrator's login."""
        return connect(self.settings, "exchange.demo", names.ADMIN_PRINCIPAL)

    @property
    def daemons(self) -> list[Daemon]:
        """A connector per department, the routers, and the ledger's follower."""
        return [
            *(Daemon(f"router-{n}", ("router", "run", "--instance", str(n))) for n in range(1, ROUTERS + 1)),
            Daemon("ledger", ("ledger", "follow")),
            *(Daemon(f"connector-{d.id}", ("connector", "run", d.id)) for d in self.loaded.contract.departments),
        ]

    def start_broker(self) -> bool:
        """Start the local broker; return whether this started it. A Kafka that answers already is used as it is."""
        with self.step("broker") as say:
            ran = cluster_id(self.cluster) is not None
            if not ran:
                configured(self.settings).start(progress=self.console.print)
            say(f"Kafka on {self.settings.bootstrap_servers}{' ran already' if ran else ''}")
        return not ran

    def make_city(self, records: int, seed: int) -> Manifest:
        """Fill the departments' databases."""
        with self.step("city") as say:
            manifest, made = build(self.settings, records=records, seed=seed)
            say(f"{manifest.rows:,} rows {'made' if made else 'already there'}")
        return manifest

    def apply(self, life: Life | None = None) -> None:
        """Check the contract, and apply it to the cluster; in a city that has lived, as it is there since."""
        contract = self._later() if life else self.settings.contract
        with self.step("validate") as say:
            say(self._run("validate").strip().splitlines()[-1])
        with self.step("apply") as say, ThreadPoolExecutor(1) as pool:
            logins = pool.submit(self._run, "department", "add", "--all") if self.cluster.security else None
            say(self._run("apply", "--yes", contract=contract).strip().splitlines()[-1])
            if logins:
                logins.result()
                say("Every department has its login.")

    def plant(self) -> int:
        """Have a misbehaving publisher write bytes that are not records."""
        with self.step("bad records") as say:
            planted = legacy.misbehave(self.cluster)
            say(f"{planted} written by a misbehaving publisher")
        return planted

    def start_daemons(self) -> list[str]:
        """Start the daemons, wait until all are healthy, and return the names of those started here.

        Routers and follower start first: sixteen processes that start at once would starve each other. Kernels are
        compiled once before: each process would do it for itself.
        """
        core, connectors = self.daemons[: ROUTERS + 1], self.daemons[ROUTERS + 1 :]
        started: list[str] = []
        self._before = self._samples()
        with self.step("daemons") as say:
            warm_up.warm_up()
            warm_up_source.warm_up()
            for group in (core, connectors):
                started += self.processes.start(group)
                self._wait_until_well(group)
            say(f"{len(started)} started, {len(self.daemons) - len(started)} ran already")
        return started

    def live(self, manifest: Manifest) -> Manifest:
        """Let the city change while everything runs: a grant is revoked, rows change, a grant becomes narrower.

        An interrupted life goes on; one that is complete stays as it is.
        """
        life = manifest.life
        if life is not None and life.complete:
            return manifest
        self._before = self._samples()
        if life is None:
            held = self.expectations(manifest).verdict(later.revoked(self.loaded)).expected
            now = datetime.now(UTC).replace(microsecond=0)
            manifest = manifest.model_copy(update={"life": Life(at=now, ended={later.REVOKED: held})})
            write_manifest(self.settings.home, manifest)
        with self.step("revoke") as say:
            contract = later.copy(self.settings.contract, self.loaded, self.settings.home)
            arguments = ("grant", "revoke", later.REVOKED, "--department", later.REVOKER, "--reason", "demo")
            say(self._run(*arguments, contract=contract).strip().splitlines()[-1])
        with self.step("life") as say, self.console.status("the city changes …") as status:
            folders = self.settings.connectors, self.settings.home
            manifest = live(self.loaded, *folders, manifest, lambda s, n: status.update(f"{s}: {n:,} rows"))
            say(f"{manifest.updated:,} rows changed, {manifest.deleted:,} deleted")
        with self.step("narrow") as say:
            say(self._run("apply", "--yes", contract=self._later()).strip().splitlines()[-1])
        return manifest

    def work_cases(self) -> list[WorkedCase]:
        """Have the planted cases worked through by the daemons, and do what is for people; return how they stand.

        Raises `StalledDemoError` if none of them changes for four minutes.
        """
        with self.step("cases") as say, worked_cases.opened(self.settings, self.loaded) as its:
            opened, refused = its.bring_in()
            before, moved = 0, time.monotonic()
            with self._bar() as progress:
                task = progress.add_task("questions across departments", total=opened + refused, note="")
                while (worked := its.worked()) and (stuck := [each for each in worked if not each.done]):
                    events = sum(len(each.history) for each in worked)
                    if events != before:
                        before, moved = events, time.monotonic()
                    elif time.monotonic() - moved > STALLED_S:
                        numbers = ", ".join(each.planted.case_no for each in stuck)
                        raise StalledDemoError(f"cases do not go on: {numbers}", remedy=f"see {self._logs()}")
                    progress.update(task, completed=len(worked) - len(stuck), note=f"{events:,} events")
                    its.act(stuck, self._run)
                    time.sleep(_POLL_S)
            asked = sum(len(each.case.questions) for each in worked if each.case)
            say(f"{opened} opened, {asked:,} questions asked; {refused} refused, because somebody has not signed")
        return worked

    def expectations(self, manifest: Manifest) -> Expectations:
        """What the readers must hold now."""
        settings, now, key = self.settings, datetime.now(UTC), pseudonym_key(self.settings)
        loaded, ended = self.loaded, []
        if manifest.life:
            loaded = load(self._later(), today())
            ended = [(later.revoked(self.loaded), held) for held in manifest.life.ended.values()]
        return Expectations(loaded, settings.connectors, settings.home, manifest, now, key, ended)

    def wait_until_drained(self, manifest: Manifest, planted: int, restart: bool = True) -> Flow:
        """Return once every record is decided, every reader holds as many rows as its grants allow, and nobody works.

        A daemon that ends is restarted, up to three times. Raises `StalledDemoError` if nothing moves for four minutes.
        """
        expectations = self.expectations(manifest)
        due = {grant.id: expectations.due_rows(grant) for grant in expectations.grants}
        flow, settled = Flow(), 0
        started = moved = time.monotonic()
        with self.step("records") as say, self._bar() as progress:
            task = progress.add_task("records into the readers' databases", total=sum(due.values()), note="")
            before: tuple[int, ...] = ()
            while settled < SETTLED_POLLS:
                self._restart_dead(flow, restart)
                held = {grant.id: expectations.held_rows(grant) for grant in expectations.grants}
                samples = self._samples()
                flow.published = self._new(samples, "connector-", "exchange_connector_rows_total:published")
                flow.delivered = self._new(samples, "router-", "exchange_records_total:delivered")
                lag = sum(_total(samples, "", name) for name in LAGS)
                now = (flow.published, flow.delivered, lag, *held.values())
                if now != before:
                    before, moved, settled = now, time.monotonic(), 0
                elif time.monotonic() - moved > STALLED_S:
                    decided = f"{self._decided():,} of {manifest.published + planted:,} records are decided"
                    raise StalledDemoError(
                        "records stopped moving",
                        remedy=f"{decided}, {_missing(due, held) or self._unsettled(samples)}; see {self._logs()}",
                    )
                done = held == due and lag == 0 and not self._busy()
                # As many rows as are due may be there before a change and after it.
                done = done and self._decided() == manifest.published + expectations.exchanged_by_cases() + planted
                settled = settled + 1 if done else 0
                note = f"{sum(held.values()):,} of {sum(due.values()):,}; published {flow.published:,}, lag {lag:,}"
                progress.update(task, completed=sum(held.values()), note=note)
                time.sleep(_POLL_S)
            say(f"{flow.published:,} published, {flow.delivered:,} delivered")
        flow.seconds = moved - started
        return flow

    def stop_daemons(self, names: list[str]) -> None:
        """Stop these daemons, and wait until they have ended."""
        with self.step("stop") as say:
            self.processes.stop(names)
            say(f"{len(names)} daemons")

    @contextmanager
    def step(self, name: str) -> Iterator[Callable[[str], None]]:
        """Show a step with its outcome and duration."""
        started = time.monotonic()
        told: list[str] = []
        yield told.append
        took_s = time.monotonic() - started
        self.console.print(f"[green]✓[/] {name:12} {' '.join(told)} [dim]{took_s:.1f} s[/]", highlight=False)

    def _bar(self) -> Progress:
        """A progress bar whose task has a `note`, and which is gone at the end."""
        columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"), TimeElapsedColumn()
        return Progress(*columns, console=self.console, transient=True)

    def _later(self) -> Path:
        """The contract as it is in a city that has lived; a change of the original changes it."""
        return later.write(self.settings.contract, self.loaded, self.settings.home)

    def _samples(self) -> dict[str, dict[str, float]]:
        """The metrics of each daemon."""
        return {daemon.name: self.processes.samples(daemon.name) for daemon in self.daemons}

    def _decided(self) -> int:
        """The number of records that the ledger's database accounts for."""
        store = LedgerStore(ledger_url(self.settings))
        try:
            return sum(partition.records for partition in balance_of_partitions(store, Selection()))
        finally:
            store.close()

    def _run(self, *arguments: str, contract: Path | None = None) -> str:
        """The output of one `exchange` command; shows it and raises StepFailedError if the command fails."""
        done = subprocess.run(
            [sys.executable, "-m", "exchange", *arguments],
            env=environment(contract=str(contract or self.settings.contract)),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            self.console.print("\n".join((done.stdout + done.stderr).splitlines()[-TAIL_LINES:]), markup=False)
            raise StepFailedError(f"exchange {' '.join(arguments)} ended with {done.returncode}", remedy="see above")
        return done.stdout

    def _wait_until_well(self, group: list[Daemon]) -> None:
        deadline = time.monotonic() + START_S
        while waiting := [daemon.name for daemon in group if not self.processes.facts(daemon.name)]:
            dead = set(waiting) - set(self.processes.running())
            if dead or time.monotonic() > deadline:
                name = sorted(dead or waiting)[0]
                self.console.print(self.processes.tail(name), markup=False)
                raise StepFailedError(f"{name} did not start", remedy=f"see {self.processes.log(name)}")
            time.sleep(_POLL_S)

    def _new(self, samples: dict[str, dict[str, float]], prefix: str, name: str) -> int:
        """What was counted since `start_daemons`, including by daemons that ran before."""
        return max(0, _total(samples, prefix, name) - _total(self._before, prefix, name))

    def _busy(self) -> list[str]:
        """Which daemons are not well or still work, and what they say."""
        found = {daemon.name: self.processes.health(daemon.name) for daemon in self.daemons}
        return [
            f"{name} says {said or 'nothing'}"
            for name, (is_well, said) in found.items()
            if not is_well or any(str(fact).startswith("working") for fact in said.values())
        ]

    def _unsettled(self, samples: dict[str, dict[str, float]]) -> str:
        """Which daemons still have something to do though all rows are there, and what they say."""
        behind = [
            f"{daemon} has {name} {value:g}"
            for daemon, found in samples.items()
            for name in LAGS
            if (value := found.get(name, 0.0))
        ]
        return f"all rows are there, but {', '.join(behind + self._busy()) or 'fewer records are decided'}"

    def _restart_dead(self, flow: Flow, restart: bool) -> None:
        running = self.processes.running()
        for daemon in self.daemons:
            if daemon.name in running:
                continue
            count = flow.restarts[daemon.name] = flow.restarts.get(daemon.name, 0) + 1
            self.console.print(f"[yellow]{daemon.name} ended; the end of its log:[/]")
            self.console.print(self.processes.tail(daemon.name), markup=False)
            if not restart or count > RESTARTS:
                raise StepFailedError(f"{daemon.name} does not keep running", remedy=f"see {self._logs()}")
            self.processes.start([daemon])

    def _logs(self) -> str:
        return str(self.processes.log("*"))


LAGS = ("exchange_lag_records", "exchange_sink_lag_records", "exchange_ledger_follower_lag_records")


def _total(samples: dict[str, dict[str, float]], prefix: str, name: str) -> int:
    values = (found.get(name, 0.0) for daemon, found in samples.items() if daemon.startswith(prefix))
    return int(sum(1 if math.isnan(value) else value for value in values))  # an unknown lag is not 0


def _missing(due: dict[str, int], held: dict[str, int]) -> str:
    wrong = [f"{grant}: {held[grant]:,} of {rows:,}" for grant, rows in due.items() if held[grant] != rows]
    return ", ".join(wrong)
