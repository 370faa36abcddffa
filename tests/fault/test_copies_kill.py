"""Routers, connectors, follower and PostgreSQL are killed while rows change: copies are what grants give, now."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from exchange.broker import LocalBroker
from tests.rigs import plain
from tests.rigs.brokers import CLIENT
from tests.rigs.daemons import Daemon, Killer, Victim
from tests.rigs.databases import Server
from tests.rigs.open_transactions import OpenTransaction, aborted_entries
from tests.rigs.registers import GRANTS, OWNER, SOURCES, Registers

SEED = 20_251_126


@dataclass
class Siege:
    """Registers whose daemons run."""

    registers: Registers
    server: Server
    routers: list[Daemon]
    owner: Daemon
    readers: list[Daemon]
    follower: Daemon

    @property
    def victims(self) -> list[list[Victim]]:
        """All of them; those of a list are of one kind."""
        return [[*self.routers], [self.owner], [*self.readers], [self.follower], [self.server]]


@contextmanager
def siege(
    registers: Registers, server: Server, router: Sequence[str] = ("exchange", "router", "run")
) -> Iterator[Siege]:
    """All daemons of these registers, running; `router` is the module of the routers, and its arguments."""
    registers.exchange("apply", "--yes")
    registers.exchange("department", "add", "--all")
    for service in ("exchange.router", "exchange.ledger"):  # their first files are in the broker's home
        registers.exchange("department", "rotate-credential", service)
    module, *arguments = router
    begun = Siege(
        registers,
        server,
        [Daemon(registers, f"router-{i}", [*arguments, "--instance", str(i)], module) for i in (1, 2)],
        Daemon(registers, OWNER, ["connector", "run", OWNER]),
        [Daemon(registers, reader, ["connector", "run", reader]) for reader in GRANTS],
        Daemon(registers, "follower", ["ledger", "follow"]),
    )
    with ExitStack() as stack:
        for daemon in (*begun.routers, begun.owner, *begun.readers, begun.follower):
            stack.callback(daemon.end)
            daemon.start()
        yield begun


def kill_while_changed(begun: Siege, changes: int, seconds: float, pause_s: float, kills: int) -> None:
    """Kill everything at random until each was killed that often and all changes are made."""
    chance, stop = random.Random(SEED), threading.Event()
    changer = threading.Thread(target=begun.registers.change, args=(changes, seconds, SEED, stop))

    def enough(victims: Sequence[Victim]) -> bool:
        return all(victim.kills >= kills for victim in victims) and not changer.is_alive()

    is_open = OpenTransaction(begun.registers)
    killers = [
        Killer(of, (0.0, pause_s), random.Random(chance.random()), enough, *([is_open] if of == begun.routers else []))
        for of in begun.victims
    ]
    plain.wait_until(lambda: all(victim.has_started() for of in begun.victims for victim in of), "all daemons start")
    changer.start()
    for killer in killers:
        killer.start()
    try:
        while any(killer.is_alive() for killer in killers):
            for killer in killers:
                killer.join(0.2)
                if killer.fault is not None:
                    raise killer.fault
    finally:
        stop.set()
        for killer in killers:
            killer.cancel()
        for each in (changer, *killers):
            each.join()
        is_open.close()


def finish(begun: Siege, timeout_s: float = 120.0) -> None:
    """Let everything that is under way come to its end, and stop the daemons."""
    registers = begun.registers
    plain.wait_until(begun.server.has_started, "PostgreSQL answers")
    with ThreadPoolExecutor() as pool:
        list(pool.map(Daemon.stop, [begun.owner, *begun.readers, begun.follower]))
    registers.exchange("connector", "run", OWNER, "--until-idle", timeout_s=timeout_s)
    topics = [f"subject.{OWNER}.{subject}" for subject in SOURCES]
    ends = {(t, r.partition): r.offset + 1 for t in topics for r in plain.read(registers.kafka, t)}

    def routed() -> bool:
        done = plain.committed(registers.kafka, "exchange.router", ends)
        return all(done.get(place, 0) >= end for place, end in ends.items())

    plain.wait_until(routed, "all records are routed", timeout_s)
    commands = [("connector", "run", reader, "--until-idle") for reader in GRANTS] + [
        ("ledger", "follow", "--until-idle")
    ]
    with ThreadPoolExecutor() as pool:
        list(pool.map(Daemon.stop, begun.routers))
        list(pool.map(lambda command: registers.exchange(*command, timeout_s=timeout_s), commands))


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("rows", "changes", "seconds", "pause_s", "kills"),
    [(2_000, 5_000, 10.0, 5.0, 1), pytest.param(20_000, 1_000_000, 180.0, 30.0, 5, marks=pytest.mark.siege)],
)
def test_copies_stay_true_through_kills(
    private_broker: LocalBroker,
    private_postgres: Server,
    tmp_path: Path,
    rows: int,
    changes: int,
    seconds: float,
    pause_s: float,
    kills: int,
) -> None:
    registers = Registers(tmp_path / "town", private_broker.cluster(CLIENT), private_postgres, rows)
    with siege(registers, private_postgres) as begun:
        kill_while_changed(begun, changes, seconds, pause_s, kills)
        finish(begun)
        assert registers.faults() == {}
        assert registers.changes >= changes
        verified = json.loads(registers.exchange("ledger", "verify", "--output", "json", timeout_s=300))
        assert verified["mismatches"] == []
        assert verified["pending"] == 0
        balance = json.loads(
            registers.exchange("audit", "balance", "--against-kafka", "--output", "json", timeout_s=300)
        )
        assert balance["balanced"]
        assert aborted_entries(registers) > 0 or kills < 5, "no kill hit a transaction: the siege shows nothing"
        lines = {victim.name: victim.kills for of in begun.victims for victim in of}
        print(f"{registers.changes:,} changes, {verified['records']:,} records; killed {sum(lines.values())}: {lines}")


@pytest.mark.siege  # it shows that the other one can fail
def test_routers_that_forget_when_they_are_killed_are_found_out(
    private_broker: LocalBroker, private_postgres: Server, tmp_path: Path
) -> None:
    registers = Registers(tmp_path / "town", private_broker.cluster(CLIENT), private_postgres, 500)
    with siege(registers, private_postgres, ("tests.rigs.fragile_router", "forgetful")) as begun:
        plain.wait_until(lambda: all(router.has_started() for router in begun.routers), "the routers start")
        plain.wait_until(lambda: not registers.faults(), "the first rows are there", pause_s=0.5)
        for router in begun.routers:
            router.kill()
            router.start()
        registers.change(500, 0.0, SEED, threading.Event())
        finish(begun)
        found = registers.faults()
        assert all(found[f"vehicle of {reader}"]["too many"] for reader in GRANTS)
        with pytest.raises(AssertionError, match="other holders"):
            registers.exchange("ledger", "verify")
