"""A replay that dies inside of transactions is run again by the same command, and delivers every record once."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

from exchange.audit.verify import verify
from exchange.bus import Cluster
from tests.rigs.office import Office
from tests.rigs.routing import KEY, value

EACH = 6_000  # of a partition: two transactions


def test_a_replay_that_is_killed_goes_on_and_delivers_once(own_cluster: Cluster, unique: str, tmp_path: Path) -> None:
    office = Office(own_cluster, unique)
    office.adopt(office.grant("early", fields=("year",)))
    given = [value(cents=n) for n in range(2 * EACH)]
    for partition in (0, 1):
        office.publish(given[partition * EACH : (partition + 1) * EACH], partition=partition)
    with office.router():
        office.wait_routed(90)
    office.adopt(office.grant("early", fields=("year",)), office.grant("late"))
    place = office.place(tmp_path)
    place.home.mkdir(parents=True, exist_ok=True)
    (place.home / "ledger.key").write_bytes(KEY)
    (place.home / "ledger.key").chmod(0o600)
    order = ["late", "--from", "2020-01-01", "--again", "--yes", "--rate", "1000000", "--output", "json"]
    for moment in ("entries", "deliveries", "offsets"):
        died = subprocess.run(
            [sys.executable, "-m", "tests.rigs.fragile_replay", moment, *order],
            env=place.environment, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert died.returncode == -signal.SIGKILL, died.stdout + died.stderr
        assert sum(map(len, office.values(office.inbox("late")))) > 0
    done = json.loads(place.exchange("grant", "replay", *order))
    assert (done["records"], done["delivered"]) == (2 * EACH, 2 * EACH)
    assert office.values(office.inbox("late")) == [given[:EACH], given[EACH:]]
    assert not verify(office.cluster, KEY, office.subject, lambda *_: None).mismatches
