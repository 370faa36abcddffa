"""A router dies with records claimed and delivered, but not committed: the quota is neither exceeded nor lost."""

from __future__ import annotations

import signal
from pathlib import Path

from exchange.bus import Cluster
from tests.rigs.daemons import Daemon
from tests.rigs.office import Office
from tests.rigs.plain import wait_until
from tests.rigs.routing import value

QUOTA = 300
EACH = 50


def test_a_quota_outlives_the_death_of_its_router(own_cluster: Cluster, unique: str, tmp_path: Path) -> None:
    office = Office(own_cluster, unique)
    office.adopt(office.grant("outliving", quota={"records_per_day": QUOTA}))
    arguments = ["deliveries", "--instance", f"{unique}.1"]
    fragile = Daemon(office.place(tmp_path), "fragile", arguments, "tests.rigs.fragile_router")
    fragile.start()
    given: list[bytes] = []

    def publish(records: int) -> None:
        given.extend(value(cents=n) for n in range(len(given), len(given) + records))
        office.publish(given[-records:])

    def delivered() -> list[bytes | None]:
        return office.values(office.inbox("outliving"))[0]

    try:
        while fragile.status() is None:
            publish(EACH)
            wait_until(lambda: fragile.status() is not None or len(delivered()) == len(given), "it delivers or dies")
        assert fragile.status() == -signal.SIGKILL, fragile.tail()
    finally:
        fragile.end()
    with office.router("2"):
        publish(QUOTA)
        office.wait_routed(90)
    # What the dead one had claimed is not given to another router.
    before = len(delivered())
    assert before < QUOTA
    with office.router("1"):
        publish(EACH)
        office.wait_routed(90)
    # The same one uses it again, and not one more.
    found = delivered()
    assert len(found) == len(set(found)) == QUOTA
    assert found[before:] == given[-EACH:][: QUOTA - before]
