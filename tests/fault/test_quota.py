"""A router dies with records claimed and delivered, but not committed: the quota is neither exceeded nor lost."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from exchange.bus import Cluster
from tests.fault.daemons import Daemon
from tests.fault.plain import wait_until
from tests.router_office import Office
from tests.router_rig import value

QUOTA = 60
EACH = 50


@pytest.mark.parametrize("moment", ["deliveries", "offsets"])
def test_a_quota_outlives_the_death_of_its_router(
    fresh_cluster: Cluster, unique: str, tmp_path: Path, moment: str
) -> None:
    office = Office(fresh_cluster, unique)
    office.adopt(office.grant("limited", quota={"records_per_day": QUOTA}))
    arguments = [moment, "--instance", f"{unique}.1"]
    fragile = Daemon(office.place(tmp_path), "fragile", arguments, "tests.fault.fragile_router")
    fragile.start()
    given: list[bytes] = []

    def publish() -> None:
        given.extend(value(cents=n) for n in range(len(given), len(given) + EACH))
        office.publish(given[-EACH:])

    try:
        publish()
        wait_until(lambda: len(office.values(office.inbox("limited"))[0]) == EACH, "the first records are delivered")
        publish()  # its second transaction, which claims what is left
        wait_until(lambda: fragile.status() is not None, "the router dies")
        assert fragile.status() == -signal.SIGKILL, fragile.tail()
    finally:
        fragile.end()
    with office.router("2"):
        # Another router gets nothing of what the dead one holds, and withholds.
        publish()
        office.wait_routed(90)
    delivered = office.values(office.inbox("limited"))[0]
    assert delivered == given[:EACH]
    with office.router("1"):
        # The same one uses it again, and not one more.
        publish()
        office.wait_routed(90)
    assert office.values(office.inbox("limited"))[0] == given[:EACH] + given[3 * EACH : 3 * EACH + QUOTA - EACH]
