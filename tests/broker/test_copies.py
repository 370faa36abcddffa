"""Copies of a subject with a key on a real Kafka: routers that stop, die and share, and a memory that is deleted."""

from __future__ import annotations

import json
import random
import signal
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from exchange import names, private
from exchange.audit.verify import verify
from exchange.bus import Cluster
from exchange.bus.admin import Admin
from exchange.contract.model import Resync
from exchange.replay.simulate import Scope, simulate
from exchange.router.held import RESYNC
from tests.rigs import plain, routing
from tests.rigs.copies import GRANTS, KEY, Change, Copies, Record, Register, passes
from tests.rigs.daemons import Daemon
from tests.rigs.office import PARTITIONS, Office
from tests.rigs.plain import wait_until

SEED = 20_261_126
NARROW = {"where": {"cents": {"ge": 2}}}
NARROWED = GRANTS | {name: GRANTS[name] | NARROW for name in ("filtered", "no-year")}


@pytest.fixture
def office(office: Office) -> Office:
    return keyed(office)


def keyed(office: Office) -> Office:
    """The office, with a key for its subject, and all of the grants."""
    office.adopt(*(office.grant(name, **gives) for name, gives in GRANTS.items()), key=KEY)
    return office


class History:
    """Random changes of a register, published; an entity's are in one partition."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._chance = random.Random(SEED)
        self.register = Register()

    def publish(self, changes: int) -> None:
        """Make so many changes."""
        producer = self._office.producer()
        for _ in range(changes):
            key, value, headers = self.register.change(self._change())
            producer.produce(self._office.topic, value, key, partition=key[-1] % 2, headers=headers)
        assert producer.flush(60) == 0

    def _change(self) -> Change:
        chance = self._chance
        row = (f"person {chance.randrange(20)}", chance.randrange(2015, 2026))
        kind = chance.choices(["put", "delete", "end"], [80, 18, 2])[0]
        return kind, row, {"cents": chance.randrange(-3, 4), "district": chance.choice([None, "4401", "33"])}

    def check(self, passes: Callable[[str, Record], bool] = passes) -> None:
        """After all is routed: every copy is right."""
        self._office.wait_routed()
        copies = Copies(self._office.epoch)
        for reader in GRANTS:
            for record in plain.read(self._office.kafka, self._office.inbox(reader)):
                copies.take(reader, [(record.key, record.value, list(record.headers))])
        copies.check(self.register, passes)
        assert verify(self._office.cluster, routing.KEY, self._office.subject, lambda *_: None).mismatches == []


def test_copies_are_right_through_restarts_and_rebalances(office: Office) -> None:
    history = History(office)
    for routers in (1, 2, 1):
        with ExitStack() as stack:
            for instance in range(routers):
                stack.enter_context(office.router(str(instance)))
            for _ in range(3):
                history.publish(150)
            office.wait_routed()
    history.check()
    withdrawn = [w for e in office.entries() for o in e.outcomes for w in o.withdrawn]
    assert {w.reason for w in withdrawn} == {"left", "deleted"}


@pytest.mark.parametrize("moment", ["entries", "deliveries", "offsets"])
def test_copies_are_right_after_a_router_died(own_cluster: Cluster, unique: str, moment: str, tmp_path: Path) -> None:
    office = keyed(Office(own_cluster, unique))
    history = History(office)
    arguments = [moment, "--instance", f"{unique}.1"]
    fragile = Daemon(office.place(tmp_path), "fragile", arguments, "tests.rigs.fragile_router")
    private.write(private.folder(office.place(tmp_path).home) / "ledger.key", routing.KEY)
    fragile.start()
    try:
        wait_until(lambda: history.publish(50) or fragile.status() is not None, "the router dies", pause_s=0.2)
        assert fragile.status() == -signal.SIGKILL, fragile.tail()
    finally:
        fragile.end()
    with office.router():
        history.publish(100)
        history.check()


def test_a_memory_that_was_deleted_is_made_again_from_the_ledger(office: Office) -> None:
    history = History(office)
    kept = names.holdings_topic(office.subject)
    with office.router():
        history.publish(500)
        office.wait_routed()
        office.adopt(*(office.grant(name, **terms) for name, terms in NARROWED.items()), key=KEY)
        wait_true(office, 2)
    with Admin(office.cluster) as admin:
        topic = admin.topics()[kept]
        admin.delete([kept])
        wait_until(lambda: kept not in plain.topics(office.kafka), "the topic is gone")
        admin.create({kept: topic})
    with office.router():
        history.publish(300)
        history.check(narrowed)
    with office.router("2"):
        history.publish(300)
        history.check(narrowed)


def test_a_subject_whose_memory_is_gone_waits_and_the_others_flow(office: Office) -> None:
    history = History(office)
    kept = names.holdings_topic(office.subject)
    with Admin(office.cluster) as admin:
        topic = admin.topics()[kept]
        admin.delete([kept])
        wait_until(lambda: kept not in plain.topics(office.kafka), "the topic is gone")
        with office.router() as router:
            history.publish(50)
            wait_until(lambda: any("holdings" in fact for fact in router.health().facts["suspended"]), "it is said")
            admin.create({kept: topic})
            history.check()
            assert router.health().ok


def narrowed(reader: str, record: Record) -> bool:
    """As `passes`, after the grants `filtered` and `no-year` were narrowed."""
    return passes(reader, record) and (reader not in ("filtered", "no-year") or record["cents"] >= 2)


def wait_true(office: Office, resyncs: int) -> None:
    """Return when the routers have made true what so many changes of grants left untrue."""
    done = resyncs * PARTITIONS

    def ended() -> bool:
        kept = plain.read(office.kafka, names.holdings_topic(office.subject))
        said = {(r.partition, r.key): json.loads(r.value or b"") for r in kept if (r.key or b"").startswith(RESYNC)}
        return sum(at == until for at, until in said.values()) >= done

    wait_until(ended, "what readers hold is made true", pause_s=0.3)


def test_what_a_narrowed_grant_gives_no_more_is_withdrawn(office: Office) -> None:
    history = History(office)
    with office.router():
        history.publish(600)
        office.wait_routed()
        draft = office.grant("draft", reader="filtered", **NARROW)
        told = simulate(office.cluster, office.epoch, draft, datetime.now(UTC), Scope(), bytes(32))
        amounts = [record["cents"] for record in history.register.rows.values()]
        assert (told.rows_gained, told.withdrawn) == (0, sum(0 <= cents < 2 for cents in amounts))
        office.adopt(*(office.grant(name, **terms) for name, terms in NARROWED.items()), key=KEY)
        history.publish(200)
        wait_true(office, 2)
        history.check(narrowed)
    with office.router("2"):
        history.publish(200)
        history.check(narrowed)


def test_a_wider_grant_gets_the_rest_when_somebody_asks_for_it(office: Office) -> None:
    history = History(office)
    with office.router():
        history.publish(600)
        office.wait_routed()
        gives = GRANTS | {"filtered": {}}
        office.adopt(*(office.grant(name, **terms) for name, terms in gives.items()), key=KEY)
        wait_true(office, 1)
        office.resync(Resync(id="asked", grant="filtered", gives=True))
        history.publish(200)
        wait_true(office, 2)
        history.check(lambda reader, record: reader == "filtered" or passes(reader, record))


ENDED = {"until": "2026-05-31"}  # the day before the epochs of an office


def test_a_grant_that_follows_another_takes_over_what_that_one_gave(office: Office) -> None:
    history = History(office)
    with office.router():
        history.publish(400)
        office.wait_routed()
        first = [office.grant(name, **gives, **ENDED) for name, gives in GRANTS.items()]
        days = {"from": "2026-06-01"}
        office.adopt(
            *first,
            *(office.grant(f"{name}-next", reader=name, **gives, **days) for name, gives in NARROWED.items()),
            key=KEY,
        )
        assert {resync.grant for resync in office.epoch.resyncs} == {"filtered-next", "no-year-next"}
        history.publish(400)
        wait_true(office, 2)
        history.check(narrowed)


def test_a_reader_that_had_no_grant_for_a_time_gets_what_it_missed(office: Office) -> None:
    history = History(office)
    grants = {name: office.grant(name, **gives) for name, gives in GRANTS.items()}
    gone = [grant for name, grant in grants.items() if name not in ("whole", "filtered")]
    ended = [office.grant(grant.id, **GRANTS[grant.id], **ENDED) for grant in gone]
    with office.router():
        history.publish(400)
        office.wait_routed()
        office.adopt(*ended, key=KEY)  # `whole` and `filtered` are revoked
        office.wait_adopted()
        history.publish(400)
        office.wait_routed()
        before = {(r.partition, r.offset) for r in plain.read(office.kafka, office.inbox("whole"))}
        office.adopt(*gone, grants["filtered"], office.grant("whole-next", reader="whole"), key=KEY)
        assert all(resync.again and resync.gives for resync in office.epoch.resyncs)
        wait_true(office, len(GRANTS))
        history.publish(100)
        history.check()
    # A reader may have deleted all rows meanwhile: so all of them come once more.
    copies = Copies(office.epoch)
    for record in plain.read(office.kafka, office.inbox("whole")):
        if record.value is not None and (record.partition, record.offset) not in before:
            copies.take("whole", [(record.key, record.value, list(record.headers))])
    assert history.register.rows.keys() <= copies.of("whole").keys()


@pytest.mark.parametrize("is_kept", [False, True], ids=["replaced", "ended"])
def test_what_a_reader_missed_comes_under_the_grant_that_follows_meanwhile(office: Office, is_kept: bool) -> None:
    history = History(office)
    others = [office.grant(name, **gives) for name, gives in GRANTS.items() if name != "filtered"]
    with office.router():
        history.publish(400)
        office.wait_routed()
        office.adopt(*others, key=KEY)  # `filtered` is revoked
        office.wait_adopted()
        history.publish(400)
        office.wait_routed()
    # No router is there while it comes back under one grant, and goes on under another.
    back = office.grant("filtered", **GRANTS["filtered"])
    ended = office.grant("filtered", **GRANTS["filtered"], **ENDED)
    following = office.grant("next", **GRANTS["filtered"] | {"reader": "filtered"}, **{"from": "2026-06-01"})
    office.adopt(*others, back, key=KEY)
    office.adopt(*others, *([ended] if is_kept else []), following, key=KEY)
    with office.router("2"):
        history.publish(100)
        wait_true(office, 1)
        history.check()


def test_a_grant_that_begins_late_gets_its_history_in_a_replay(office: Office, tmp_path: Path) -> None:
    history = History(office)
    later = [office.grant(name, **gives) for name, gives in GRANTS.items()]
    office.adopt(*(grant for grant in later if grant.id != "whole-2"), key=KEY)
    with office.router():
        history.publish(600)
        office.wait_routed()
        office.adopt(*later, key=KEY)
        history.publish(100)
        said = office.place(tmp_path).exchange("grant", "replay", "whole-2", "--yes")
        assert "whole-2 holds what the grant gives" in said
        history.publish(100)
        history.check()


def test_a_grant_that_goes_to_another_reader_tells_it_nothing_of_the_first_ones_rows(office: Office) -> None:
    history = History(office)
    with office.router():
        history.publish(400)
        office.wait_routed()
        gives = GRANTS | {"whole-2": {"reader": "another"}}
        office.adopt(*(office.grant(name, **terms) for name, terms in gives.items()), key=KEY)
        history.publish(200)
        office.wait_routed()
    with office.router("2"):
        history.publish(200)
        office.wait_routed()
    copy = Copies(office.epoch)
    for record in plain.read(office.kafka, office.inbox("another")):
        copy.take("another", [(record.key, record.value, list(record.headers))])  # fails at a row that it never had
    assert verify(office.cluster, routing.KEY, office.subject, lambda *_: None).mismatches == []
