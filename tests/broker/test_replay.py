"""Replays on a real Kafka: what was never delivered, or all of it, once each, beside the live flow."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from threading import Event

import pytest
from kafka import KafkaProducer

from exchange import names
from exchange.audit.questions import Selection, balance_of_grants, balance_of_partitions, exchanged
from exchange.audit.reconcile import reconcile
from exchange.audit.verify import verify
from exchange.bus.admin import Admin
from exchange.bus.produce import Producer
from exchange.document.problem import ContractError
from exchange.epoch_watch import EpochWatch
from exchange.epochs import Published
from exchange.ledger.entry import NULL_TAG, delivered_mask
from exchange.ledger.follower import Follower
from exchange.ledger.store import LedgerStore
from exchange.records.build import pack
from exchange.replay import replay as replay_module
from exchange.replay.due import Done, Order
from exchange.replay.hypothesis import read_draft
from exchange.replay.replay import NotGrantedError, NothingRetainedError, Replay
from exchange.replay.simulate import Scope, simulate
from tests.rigs.office import Office
from tests.rigs.routing import KEY, PSEUDONYM_KEY, value


def order(grant: str, name: str = "", *, from_ms: int = 0, until_ms: int | None = None, again: bool = False) -> Order:
    return Order(f"{grant}.{name}", grant, from_ms, until_ms, again)


def job(office: Office, wanted: Order, pause: Callable[[float], None] = lambda seconds: None) -> Replay:
    return Replay(office.routers, wanted, KEY, pseudonym_key=PSEUDONYM_KEY, pause=pause)


def route(office: Office) -> None:
    """Let a router decide all that was published."""
    with office.router():
        office.wait_routed()


def replayed(office: Office, reader: str, id_: str) -> list[list[bytes | None]]:
    """What a replay put into the inbox, by partition; nothing else there has a mark."""
    found = []
    for records in office.read(office.inbox(reader)):
        marked = [record for record in records if dict(record.headers).get(names.REPLAY_HEADER) == id_.encode()]
        found.append([record.value for record in marked])
    return found


def test_a_new_grant_gets_the_history_once(office: Office, tmp_path: object) -> None:
    office.adopt(office.grant("early"))
    given = [value(cents=i, year=2020 + i % 2) for i in range(100)]
    office.publish(given[:60])
    office.publish(given[60:], partition=1)
    route(office)
    office.adopt(office.grant("early"), office.grant("late", where={"year": {"eq": 2021}}))
    live = [value(cents=1000 + i, year=2021) for i in range(9)]
    with office.router():
        office.publish(live)
        office.wait_routed()
        done = job(office, order("late")).run()
        office.publish(live)
        office.wait_routed()
    due = [given[1:60:2], given[61::2]]
    assert replayed(office, "late", "late.") == due
    assert office.values(office.inbox("late")) == [live + due[0] + live, due[1]]
    assert (done.records, done.delivered, done.withheld) == (100, 50, {"filter": 50})
    assert job(office, order("late")).run() == done
    later = job(office, order("late", "2")).run()
    assert (later.records, later.delivered) == (50, 0)
    assert len(office.values(office.inbox("late"))[0]) == len(live) * 2 + 30
    again = job(office, order("late", "3", again=True)).run()
    assert (again.records, again.delivered) == (118, 68)
    assert replayed(office, "late", "late.3") == [due[0] + live + live, due[1]]

    store = LedgerStore(f"sqlite:///{tmp_path}/ledger.db")
    Follower(office.cluster, store).follow(Event(), until_idle=True)
    mine = Selection(subject=office.subject)
    by_replay = {(e.grant, e.replay): (e.records, e.delivered) for e in exchanged(store, mine)}
    assert by_replay[("late", None)] == (18, 18)
    assert by_replay[("late", "late.")] == (100, 50)
    assert all(balance.balanced for balance in balance_of_grants(store, mine))
    partitions = balance_of_partitions(store, mine)
    assert all(p.balanced for p in partitions)
    assert [sum(n) for n in zip(*((p.records, p.replayed) for p in partitions), strict=True)] == [118, 268]
    assert all(c.balanced for c in reconcile(office.cluster, store, office.subject, lambda *_: None))
    store.close()
    assert not verify(office.cluster, KEY, office.subject, lambda *_: None).mismatches


def test_what_was_withheld_and_now_passes_is_delivered_and_nothing_twice(office: Office) -> None:
    office.adopt(office.grant("g", where={"year": {"ge": 2025}}))
    given = [value(cents=i, year=2020 + i % 10) for i in range(50)]
    office.publish(given[:20])
    with pytest.raises(InterruptedError):
        publish_and_abort(office)
    office.publish(given[20:])
    route(office)
    office.adopt(office.grant("g", where={"year": {"ge": 2022}}))
    done = job(office, order("g")).run()
    assert replayed(office, "g", "g.")[0] == [v for i, v in enumerate(given) if 2 <= i % 10 < 5]
    assert (done.records, done.delivered, done.withheld) == (25, 15, {"filter": 10})
    held = office.values(office.inbox("g"))[0]
    assert sorted(v or b"" for v in held) == sorted(v for i, v in enumerate(given) if i % 10 >= 2)


def test_masks_and_pseudonyms_are_those_of_the_live_flow(office: Office) -> None:
    masked = office.grant("m", fields=("id", "cents"), masks={"id": "pseudonym"})
    office.adopt(masked)
    office.publish([value(cents=i) for i in range(5)])
    route(office)
    job(office, order("m", again=True)).run()
    records = office.read(office.inbox("m"))[0]
    assert [r[2:4] for r in records[:5]] == [r[2:4] for r in records[5:]]
    assert [r.headers for r in records] == [()] * 5 + [(("exchange-replay", b"m."),)] * 5


def test_a_simulation_predicts_what_is_delivered_after_approval(office: Office) -> None:
    held = office.grant("held", where={"year": {"lt": 2024}})
    office.adopt(held)
    given = [
        value(cents=i, year=2020 + i % 8, id=f"44{i % 31}", district=None if i % 5 else "4401") for i in range(200)
    ]
    for i, one in enumerate([*given, None, b"no record"]):
        office.publish([one], partition=i % 2, key=f"44{i % 31}".encode() if i < 195 else None)
    route(office)
    buckets = {"kind": "range", "bounds": [9]}
    drafts = [
        office.grant("whole"),
        office.grant("some", where={"any": [{"district": {"is_null": True}}, {"year": {"ge": 2026}}]}),
        office.grant("few", fields=("id", "cents"), masks={"id": "pseudonym", "cents": buckets}),
        office.grant("none", fields=("year", "district"), masks={"district": "redact"}, where={"year": {"lt": 0}}),
    ]
    now = datetime.now(UTC)
    asked = [simulate(office.cluster, office.epoch, draft, now, Scope(), bytes(32)) for draft in drafts]
    office.adopt(held, *drafts)
    for draft, found in zip(drafts, asked, strict=True):
        done = job(office, order(draft.id)).run()
        assert (found.records, found.quarantined) == (done.records, done.quarantined) == (202, 1)
        assert (found.draft.delivered, found.draft.withheld) == (done.delivered, done.withheld)
        entries = [entry for entry in office.entries() if entry.replay == f"{draft.id}."]
        tags = {
            entry.tags[16 * row : 16 * row + 16]
            for entry in entries
            for row in delivered_mask(entry, entry.outcomes[0]).nonzero()[0].tolist()
        }
        assert len(found.draft.persons.tags()) == len(tags - {NULL_TAG})
    whole, some, few, none = asked
    assert (whole.now, none.draft.delivered, len(none.sample), len(some.sample)) == (None, 0, 0, 5)
    assert few.sample[0] == {"id": "text (32)", "cents": "text (2)"}
    assert whole.sample[0] == {
        "id": "text (3)",
        "year": "int",
        "district": "text (4)",
        "cents": "long",
        "note": "text (1)",
    }

    wider = office.grant("held2", reader="held", where={"year": {"ge": 2022}}, fields=("id",))
    found = simulate(office.cluster, office.epoch, wider, now, Scope(), bytes(32))
    years = [2020 + i % 8 for i in range(200)]
    assert found.now is not None
    assert found.now.grant == held
    assert (found.gained, found.lost) == (sum(y >= 2024 for y in years), sum(y < 2022 for y in years))
    newest = simulate(office.cluster, office.epoch, wider, now, Scope(limit=20), bytes(32))
    assert newest.records == 20


def test_a_draft_is_checked_against_the_contract_in_force(office: Office) -> None:
    office.adopt(office.grant("g"))
    today = date(2026, 6, 1)
    text = f"subject: {office.subject}\nreader: g\nfields: [id, cents]\nmasks: {{id: pseudonym}}\n"
    draft = read_draft(text.encode(), "draft.yaml", office.epoch, today)
    assert (draft.id, draft.fields, draft.from_) == ("draft", ("id", "cents"), today)
    assert (
        read_draft(f"- id: x\n  {text.replace(chr(10), chr(10) + '  ')}".encode(), "d", office.epoch, today).id == "x"
    )
    for wrong, told in (
        (text.replace("cents]", "cent]"), "line 3, .*field 'cent' is not in the schema"),
        (text + "where: {year: {prefix: x}}", "'prefix' does not apply"),
        (text.replace(office.subject, "no.such"), "subject 'no.such' is not in this contract"),
        ("[]", "the file is not one grant"),
        ("a: [", "draft.yaml has"),
    ):
        with pytest.raises(ContractError, match=told):
            read_draft(wrong.encode(), "draft.yaml", office.epoch, today)


def test_the_window_is_from_a_time_to_before_another(office: Office) -> None:
    office.adopt(office.grant("other"))
    given = [value(cents=i) for i in range(30)]
    producer = office.producer()
    for i, one in enumerate(given):
        producer.produce(office.topic, one, b"k", partition=0, timestamp=1_700_000_000_000 + 1000 * i)
    producer.flush(60)
    route(office)
    office.adopt(office.grant("other"), office.grant("late"))
    at = 1_700_000_000_000
    job(office, order("late", from_ms=at + 9_500, until_ms=at + 20_000)).run()
    assert replayed(office, "late", "late.")[0] == given[10:20]
    with pytest.raises(NothingRetainedError):
        job(office, order("late", "2", from_ms=at + 60_000)).run()


def test_what_the_live_flow_has_not_decided_is_left_to_it(office: Office) -> None:
    office.adopt(office.grant("g"))
    office.publish([value(cents=i) for i in range(5)])
    route(office)
    office.publish([value(cents=i) for i in range(5, 9)])
    job(office, order("g", again=True)).run()
    assert len(replayed(office, "g", "g.")[0]) == 5
    route(office)
    assert office.values(office.inbox("g"))[0] == [value(cents=i) for i in (*range(5), *range(5), *range(5, 9))]


def test_only_a_grant_in_force_is_replayed(office: Office) -> None:
    old = office.grant("old", **{"from": "2020-01-01", "until": "2020-12-31"})
    office.adopt(office.grant("g"), old)
    office.publish([value()])
    route(office)
    for wrong, told in (("old", "in force from 2020-01-01"), ("gg", "has no grant")):
        with pytest.raises(NotGrantedError, match=told):
            job(office, order(wrong)).run()
    assert office.values(office.inbox("old")) == [[], []]


def publish_and_abort(office: Office) -> None:
    with Producer(office.cluster, f"{office.owner}.x") as out:
        try:
            with out.transaction() as transaction:
                transaction.send(office.topic, 0, pack([b"k"], [value(cents=-1)], [0]))
                transaction.flush()
                raise InterruptedError
        finally:
            out.renew()  # the broker aborts the transaction


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay_module, "TRANSACTION_RECORDS", 10)


def fence(office: Office) -> None:
    """What `apply` does to who is not in the routers' group."""
    with Admin(office.cluster) as admin:
        admin.fence({"exchange.router.replay.g"})


class At:
    """Does something once, at the nth pause of a replay."""

    def __init__(self, number: int, do: Callable[[], object]) -> None:
        self._left, self._do = number, do

    def __call__(self, seconds: float) -> None:
        self._left -= 1
        if self._left == 0:
            self._do()


@pytest.mark.usefixtures("small")
def test_a_grant_that_is_revoked_is_replayed_no_further(office: Office) -> None:
    office.adopt(office.grant("g"))
    office.publish([value(cents=i) for i in range(100)])
    route(office)

    def revoke() -> None:
        office.adopt(office.grant("other"))
        fence(office)

    with pytest.raises(NotGrantedError):
        job(office, order("g", again=True), At(3, revoke)).run()
    assert len(replayed(office, "g", "g.")[0]) == 30


def test_a_replay_that_starts_reads_the_contract_to_its_end_first(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that opened its producer too late to be fenced knows the contract that the others were fenced for."""
    office.adopt(office.grant("g"))
    office.publish([value(cents=i) for i in range(20)])
    route(office)
    take, opened, first = EpochWatch._take, Producer._open, office.epoch.number
    knows = Event()

    def take_late(watch: EpochWatch, published: Published) -> None:
        if published.epoch.number > first:
            time.sleep(1)
        take(watch, published)
        knows.set()

    def open_late(producer: Producer) -> KafkaProducer:
        if office.epoch.number == first:
            assert knows.wait(30)
            office.adopt(office.grant("other"))
        return opened(producer)

    monkeypatch.setattr(EpochWatch, "_take", take_late)
    monkeypatch.setattr(Producer, "_open", open_late)
    with pytest.raises(NotGrantedError):
        job(office, order("g", again=True)).run()
    assert replayed(office, "g", "g.")[0] == []


@pytest.mark.usefixtures("small")
def test_a_grant_that_is_for_another_subject_now_is_replayed_no_further(
    office: Office, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.adopt(office.grant("g"))
    office.publish([value(cents=i) for i in range(50)])
    route(office)
    other, take, known = Office(office.cluster, f"{unique}other", office.routers), EpochWatch._take, Event()

    def taken(watch: EpochWatch, published: Published) -> None:
        take(watch, published)
        if published.epoch.number > office.epoch.number:
            known.set()

    def turn() -> None:
        other.adopt(other.grant("g"))
        assert known.wait(30)

    monkeypatch.setattr(EpochWatch, "_take", taken)
    with pytest.raises(NotGrantedError, match=f"is for {other.subject} since epoch"):
        job(office, order("g", again=True), At(2, turn)).run()
    assert len(replayed(office, "g", "g.")[0]) == 20
    assert other.values(other.inbox("g")) == [[], []]


@pytest.mark.usefixtures("small")
def test_a_replay_that_is_fenced_takes_the_new_contract_and_goes_on(office: Office) -> None:
    office.adopt(office.grant("g"))
    given = [value(cents=i) for i in range(100)]
    office.publish(given)
    route(office)

    def narrow() -> None:
        office.adopt(office.grant("g", where={"cents": {"lt": 70}}))
        fence(office)

    job(office, order("g", again=True), At(3, narrow)).run()
    assert replayed(office, "g", "g.")[0] == given[:70]


@pytest.mark.usefixtures("small")
def test_two_replays_of_a_grant_at_once_deliver_once(office: Office) -> None:
    office.adopt(office.grant("g", where={"cents": {"lt": 0}}))
    given = [value(cents=i) for i in range(100)]
    office.publish(given)
    route(office)
    office.adopt(office.grant("g"))
    second: list[Done] = []
    first = job(office, order("g"), At(4, lambda: second.append(job(office, order("g", "2")).run()))).run()
    assert (first.delivered, second[0].delivered) == (40, 60)
    assert office.values(office.inbox("g"))[0] == given
