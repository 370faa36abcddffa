"""A router that dies at the worst moments of a transaction; and two without a guard, which the same test finds out."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from exchange.bus import Cluster
from tests.rigs.daemons import Daemon
from tests.rigs.office import Office
from tests.rigs.plain import wait_until
from tests.rigs.routing import value

EACH = 50


def damage(cluster: Cluster, owner: str, folder: Path, moment: str) -> tuple[bool, bool]:
    """Whether deliveries were lost, and whether some came twice, when a router died at that moment."""
    office = Office(cluster, owner)
    office.adopt(office.grant("whole"), office.grant("narrow", fields=("cents",)))
    arguments = [moment, "--instance", f"{owner}.1"]
    fragile = Daemon(office.place(folder), "fragile", arguments, "tests.rigs.fragile_router")
    fragile.start()
    given: list[bytes] = []

    def publish() -> None:
        given.extend(value(cents=n) for n in range(len(given), len(given) + EACH))
        office.publish(given[-EACH:])

    try:
        while fragile.status() is None:
            publish()
            wait_until(
                lambda: fragile.status() is not None or len(office.values(office.inbox("whole"))[0]) >= len(given),
                "the router delivers or dies",
            )
        assert fragile.status() == -signal.SIGKILL, fragile.tail()
    finally:
        fragile.end()
    publish()
    with office.router():
        office.wait_routed(90)
    found = [office.values(office.inbox(reader))[0] for reader in ("whole", "narrow")]
    lost = any(len(set(values)) < len(given) for values in found)
    twice = any(len(set(values)) < len(values) for values in found)
    assert lost or twice or found[0] == given
    return lost, twice


@pytest.mark.parametrize("moment", ["entries", "deliveries", "offsets"])
def test_a_death_inside_of_a_transaction_does_no_damage(
    own_cluster: Cluster, unique: str, tmp_path: Path, moment: str
) -> None:
    assert damage(own_cluster, unique, tmp_path, moment) == (False, False)


@pytest.mark.parametrize(("moment", "damaged"), [("offsets-first", (True, False)), ("offsets-last", (False, True))])
def test_a_router_without_its_guard_is_found_out(
    own_cluster: Cluster, unique: str, tmp_path: Path, moment: str, damaged: tuple[bool, bool]
) -> None:
    assert damage(own_cluster, unique, tmp_path, moment) == damaged
