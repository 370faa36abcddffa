"""Router, connector and follower are killed again and again: no record is lost, none comes twice."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from exchange.broker import LocalBroker
from tests.rigs import plain
from tests.rigs.brokers import CLIENT
from tests.rigs.daemons import Daemon, Killer
from tests.rigs.expected import Verdict, check
from tests.rigs.open_transactions import OpenTransaction, aborted_entries
from tests.rigs.town import FIELDS, OWNER, SHARE, Town, slices

SEED = 20_251_122
ROWS = 1_000_000
FEED_S, PAUSE_S = 80.0, 12.0
KILLS = 10  # of each daemon, or more


@dataclass
class Siege:
    """A town whose daemons run, with everything that is to be stopped at its end."""

    town: Town
    routers: list[Daemon]
    connector: Daemon
    follower: Daemon

    @property
    def daemons(self) -> list[Daemon]:
        """All of them."""
        return [*self.routers, self.connector, self.follower]


@contextmanager
def siege(town: Town, router_module: str = "exchange") -> Iterator[Siege]:
    """Two routers, the connector and the follower of a new town, running."""
    town.make_tables()
    town.exchange("apply", "--yes")
    if town.cluster.security:
        town.exchange("department", "add", "--all")
        for service in ("exchange.router", "exchange.ledger"):  # their first files are in the broker's home
            town.exchange("department", "rotate-credential", service)
    begun = Siege(
        town,
        [Daemon(town, f"router-{i}", ["router", "run", "--instance", str(i)], router_module) for i in (1, 2)],
        Daemon(town, "connector", ["connector", "run", OWNER]),
        Daemon(town, "follower", ["ledger", "follow"]),
    )
    with ExitStack() as stack:
        for daemon in begun.daemons:
            stack.callback(daemon.end)
            daemon.start()
        yield begun


def feed(town: Town) -> None:
    """Insert all rows, evenly over that time, so that every kill hits daemons at work."""
    began, pieces = time.monotonic(), round(FEED_S)
    for at, piece in enumerate(slices(ROWS, pieces), 1):
        for subject, serials in piece:
            town.insert(subject, serials)
        left = began + at * FEED_S / pieces - time.monotonic()
        if left > 0:
            time.sleep(left)


def kill_while_fed(begun: Siege) -> None:
    """Kill every daemon at random until each was killed that often and all rows are in the database."""
    chance = random.Random(SEED)
    feeder = threading.Thread(target=feed, args=(begun.town,), daemon=True)

    def enough(daemons: Sequence[Daemon]) -> bool:
        return all(daemon.kills >= KILLS for daemon in daemons) and not feeder.is_alive()

    is_open = OpenTransaction(begun.town)
    killers = [
        Killer(begun.routers, (0.0, PAUSE_S), random.Random(chance.random()), enough, is_open),
        Killer([begun.connector], (0.0, PAUSE_S), random.Random(chance.random()), enough),
        Killer([begun.follower], (0.0, PAUSE_S), random.Random(chance.random()), enough),
    ]
    feeder.start()
    for killer in killers:
        killer.start()
    try:
        while any(killer.is_alive() for killer in killers):
            for killer in killers:
                killer.join(0.2)
                if killer.fault is not None:
                    raise killer.fault
    finally:
        for killer in killers:
            killer.cancel()
        for killer in killers:
            killer.join()
        is_open.close()


def finish(begun: Siege, timeout_s: float = 120.0) -> Verdict:
    """Let everything that is under way come to its end, stop the daemons, and judge."""
    town = begun.town
    begun.connector.stop()
    town.exchange("connector", "run", OWNER, "--until-idle")
    topics = [f"subject.{OWNER}.{subject}" for subject in FIELDS]
    ends = {(t, r.partition): r.offset + 1 for t in topics for r in plain.read(town.kafka, t)}

    def routed() -> bool:
        done = plain.committed(town.kafka, "exchange.router", ends)
        return all(done.get(place, 0) >= end for place, end in ends.items())

    plain.wait_until(routed, "all records are routed", timeout_s)
    for router in begun.routers:
        router.stop()
    begun.follower.stop()
    town.exchange("ledger", "follow", "--until-idle")
    with town.connection() as connection:
        rows = {s: connection.execute(f"SELECT count(*) FROM {s}").fetchone()[0] for s in FIELDS}
    return check(town.kafka, rows)


@pytest.mark.siege
@pytest.mark.timeout(600)
def test_all_records_survive_the_kills(private_broker: LocalBroker, tmp_path: Path) -> None:
    with siege(Town(tmp_path / "town", private_broker.cluster(CLIENT))) as begun:
        town = begun.town
        kill_while_fed(begun)
        verdict = finish(begun)
        assert verdict.faults() == {}
        assert verdict.published == ROWS == sum(round(ROWS * share) for share in SHARE.values())
        assert all(daemon.kills >= KILLS for daemon in begun.daemons)

        balance = json.loads(town.exchange("audit", "balance", "--against-kafka", "--output", "json"))
        assert balance["balanced"]
        assert balance["undecided_entries"] == 0
        assert sum(one["records"] for one in balance["partitions"]) == ROWS
        assert aborted_entries(town) > 0, "no kill hit a transaction: the siege shows nothing"
        lines = {d.name: d.kills for d in begun.daemons}
        print(f"{verdict.published:,} published, {verdict.delivered:,} delivered; killed: {lines}")
