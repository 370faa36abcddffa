"""`exchange apply` on a real Kafka: what the plan says becomes so, whatever comes between."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import pytest
from click.testing import CliRunner, Result

from exchange import names
from exchange.audit.gaps import open_gaps
from exchange.bus import Cluster
from exchange.bus import admin as bus_admin
from exchange.bus.admin import Admin, TopicRefusedError
from exchange.bus.connection import BusUnavailableError
from exchange.bus.consume import Consumer
from exchange.bus.produce import FencedError, Producer, Transaction
from exchange.bus.topic import Topic
from exchange.bus.topics import TopicAppender, publish, read_all
from exchange.cli.contract import apply as apply_command
from exchange.cli.contract import plan as plan_command
from exchange.contract import epoch as epochs
from exchange.contract.load import Loaded
from exchange.contract.model import Epoch
from exchange.epochs import epoch_in_force, latest_epoch, publish_epoch
from exchange.epochs import epochs as every_epoch
from exchange.ledger import entry as ledger
from exchange.ledger.body import encode
from exchange.plan import apply as shell
from exchange.plan.apply import ConcurrentApplyError, PlanRefusedError, apply, read_actual
from exchange.plan.changes import Change, PublishEpoch
from exchange.plan.plan import Plan, make_plan
from exchange.plan.topics import LEDGER_PARTITIONS
from exchange.records.build import pack
from exchange.router.barrier import ANSWER_S, Adoption, EpochNotTakenError, Passed
from exchange.schema import avro, wire
from exchange.schema.registry import Registry
from tests.rigs.clients import environment
from tests.rigs.contracts import CONTRACT, INCOME, loaded, write
from tests.rigs.plain import wait_until

LEDGER = avro.load(ledger.SCHEMA_FILE)


@pytest.fixture
def empty(fresh_cluster: Cluster) -> Cluster:
    """A cluster without topics."""
    with Admin(fresh_cluster) as admin:
        admin.delete(admin.topics())
    return fresh_cluster


def _plan(cluster: Cluster, contract: Loaded, delete: tuple[str, ...] = ()) -> Plan:
    return make_plan(contract, read_actual(cluster), LEDGER, datetime.now(UTC), delete=delete)


def _number(cluster: Cluster) -> int:
    return epoch_in_force(cluster).number


def _publish(cluster: Cluster, epoch: Epoch) -> None:
    with TopicAppender(cluster, names.CONTRACT_TOPIC) as out:
        publish_epoch(out, epoch)


def _publish_next(cluster: Cluster) -> None:
    """The epoch in force again, as the next one."""
    epoch = epoch_in_force(cluster)
    _publish(cluster, epoch.model_copy(update={"number": epoch.number + 1, "time": datetime.now(UTC)}))


def _pass(cluster: Cluster, adoption: Adoption, answer_s: float = ANSWER_S) -> Passed:
    found = latest_epoch(cluster)
    assert found is not None
    return adoption.passed(found, answer_s=answer_s)


def test_apply_twice_publishes_one_epoch(empty: Cluster, tmp_path: Path) -> None:
    contract = loaded(tmp_path)
    assert latest_epoch(empty) is None
    apply(empty, _plan(empty, contract))
    again = _plan(empty, contract)
    assert again.is_empty, [c.text for c in again.changes]
    apply(empty, again)
    assert len(list(read_all(empty, names.CONTRACT_TOPIC))) == 1
    with Admin(empty) as admin:
        topics = admin.topics()
    assert topics["subject.tax.income"].partitions == topics["inbox.civil.tax.income"].partitions == 4
    assert topics["exchange.ledger"].configs["max.message.bytes"] == str(8 << 20)
    assert topics["_schemas"].configs["cleanup.policy"] == "compact"


def test_an_epoch_that_nearly_fills_its_record_is_published(empty: Cluster, tmp_path: Path) -> None:
    text = "x" * 2_000_000
    contract = loaded(tmp_path, CONTRACT.replace("To verify an income.", text))
    apply(empty, _plan(empty, contract))
    assert epoch_in_force(empty).contract.grants[0].purpose.text == text


def test_an_interruption_anywhere_is_made_good(empty: Cluster, tmp_path: Path) -> None:
    class Interrupted(Exception):
        pass

    contract = loaded(tmp_path)
    total = len(_plan(empty, contract).changes)
    for done in range(1, total, 5):
        with Admin(empty) as admin:
            admin.delete(admin.topics())
        plan, left = _plan(empty, contract), iter(range(done))

        def stop(_: Change, left: Iterator[int] = left) -> None:
            if next(left, None) is None:
                raise Interrupted

        with pytest.raises(Interrupted):
            apply(empty, plan, stop)
        apply(empty, _plan(empty, contract))
        assert _plan(empty, contract).is_empty
        assert _number(empty) == 1


def test_partitions_and_configs_follow_the_contract(empty: Cluster, tmp_path: Path) -> None:
    apply(empty, _plan(empty, loaded(tmp_path)))
    with Admin(empty) as admin:
        admin.alter("subject.tax.income", {"segment.ms": "60000"})
    more = CONTRACT.replace("share: conditional", "share: conditional\n    topic: {partitions: 5, retention_days: 1}")
    apply(empty, _plan(empty, loaded(tmp_path, more)))
    with Admin(empty) as admin:
        topic = admin.topics()["subject.tax.income"]
    assert topic == Topic(5, 1, {"cleanup.policy": "delete", "retention.ms": "86400000", "segment.ms": "60000"})
    assert _number(empty) == 2


def test_schema_versions_stay_readable_by_a_second_registry(empty: Cluster, tmp_path: Path) -> None:
    apply(empty, _plan(empty, loaded(tmp_path)))
    grown = [*INCOME, {"name": "note", "type": "string", "default": ""}]
    apply(empty, _plan(empty, loaded(tmp_path, fields=grown)))
    records = [(r.key, r.value) for r in read_all(empty, names.SCHEMAS_TOPIC)]
    registry = Registry.read((*pair, at) for at, pair in enumerate(records))
    assert registry.ids("subject.tax.income-value") == epoch_in_force(empty).writers["tax.income"]
    for key, value in records:
        assert key is not None
        assert value is not None
        assert json.dumps(json.loads(key), separators=(",", ":")).encode() == key
        assert next(iter(json.loads(key))) == "keytype"


def test_foreign_records_in_schemas_do_not_stop_plan(empty: Cluster, tmp_path: Path) -> None:
    apply(empty, _plan(empty, loaded(tmp_path)))
    publish(empty, names.SCHEMAS_TOPIC, [(b"not json", b"{}"), (b"[]", b"\xff"), (b'{"keytype":"OTHER"}', b"{")])
    assert _plan(empty, loaded(tmp_path)).is_empty


def test_refusals_change_nothing(empty: Cluster, tmp_path: Path) -> None:
    apply(empty, _plan(empty, loaded(tmp_path)))
    plan = _plan(empty, loaded(tmp_path, fields=[*INCOME, {"name": "note", "type": "string"}]))
    before = list(read_all(empty, names.SCHEMAS_TOPIC))
    with pytest.raises(PlanRefusedError, match="is new and has no default"):
        apply(empty, plan)
    assert list(read_all(empty, names.SCHEMAS_TOPIC)) == before
    assert _number(empty) == 1


def test_only_a_named_orphan_is_deleted(empty: Cluster, tmp_path: Path) -> None:
    apply(empty, _plan(empty, loaded(tmp_path)))
    without = CONTRACT[: CONTRACT.index("grants:")]
    apply(empty, _plan(empty, loaded(tmp_path, without)))
    with Admin(empty) as admin:
        assert "inbox.civil.tax.income" in admin.topics()
    apply(empty, _plan(empty, loaded(tmp_path, without), delete=("inbox.civil.tax.income",)))
    with Admin(empty) as admin:
        assert "inbox.civil.tax.income" not in admin.topics()


def test_a_subject_that_comes_back_with_another_topic_is_not_taken_for_the_one_before(
    empty: Cluster, tmp_path: Path
) -> None:
    topic, without = "subject.tax.income", CONTRACT[: CONTRACT.index("subjects:")] + "subjects: []\n"
    apply(empty, _plan(empty, loaded(tmp_path)))
    first = latest_epoch(empty)
    apply(empty, _plan(empty, loaded(tmp_path, without)))
    apply(empty, _plan(empty, loaded(tmp_path, without), delete=(topic,)))
    apply(empty, _plan(empty, loaded(tmp_path)))
    last = latest_epoch(empty)
    assert first is not None
    assert last is not None
    assert last.epoch.topic_ids[topic] == first.epoch.topic_ids[topic]
    # The offsets begin again at 0: without this, what the ledger says of the old ones would be held against the new.
    assert {gap.cause for gap in open_gaps(empty, last)} == {"recreated"}


def test_a_foreign_writer_of_schemas_at_the_same_time_is_noticed(empty: Cluster, tmp_path: Path) -> None:
    apply(empty, _plan(empty, loaded(tmp_path)))
    contract = loaded(tmp_path, fields=[*INCOME, {"name": "note", "type": "string", "default": ""}])
    plan = _plan(empty, contract)
    foreign = read_actual(empty).registry
    other = avro.parse('{"type":"record","name":"O","fields":[{"name":"a","type":"int"}]}')
    taken, records = foreign.register("other-value", other)
    publish(empty, names.SCHEMAS_TOPIC, records)
    with pytest.raises(ConcurrentApplyError):
        apply(empty, plan)
    assert _number(empty) == 1
    apply(empty, _plan(empty, contract))
    assert taken not in _writers(empty)
    assert _number(empty) == 2
    assert _plan(empty, contract).is_empty


def _writers(cluster: Cluster) -> tuple[int, ...]:
    return epoch_in_force(cluster).writers["tax.income"]


def test_of_two_administrators_the_first_publishes(empty: Cluster, tmp_path: Path) -> None:
    apply(empty, _plan(empty, loaded(tmp_path)))
    mine = _plan(empty, loaded(tmp_path, CONTRACT.replace("code: aid", "code: mine")))
    theirs = _plan(empty, loaded(tmp_path, CONTRACT.replace("code: aid", "code: theirs")))
    apply(empty, theirs)
    with pytest.raises(ConcurrentApplyError):
        apply(empty, mine)
    assert epoch_in_force(empty).contract.grants[0].purpose.code == "theirs"


def test_a_record_that_is_no_epoch_stops(empty: Cluster, tmp_path: Path) -> None:
    apply(empty, _plan(empty, loaded(tmp_path)))
    publish(empty, names.CONTRACT_TOPIC, [(b"2", b"{}")])
    with pytest.raises(epochs.EpochError):
        read_actual(empty)


def test_what_kafka_refuses_is_told_with_the_topic(empty: Cluster) -> None:
    with Admin(empty) as admin:
        with pytest.raises(TopicRefusedError, match=r"subject\.a\.b: .*replicat"):
            admin.create({"subject.a.b": Topic(1, 3)})
        admin.create({"subject.a.b": Topic(1, 1)})
        with pytest.raises(TopicRefusedError, match=r"subject\.a\.b: .*retention\.ms"):
            admin.alter("subject.a.b", {"retention.ms": "soon"})


def test_an_epoch_too_large_for_a_record_is_refused(
    empty: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shell, "CONTRACT_MESSAGE_BYTES", 2048)
    plan = _plan(empty, loaded(tmp_path))
    with pytest.raises(PlanRefusedError, match="more than a record can hold"):
        apply(empty, plan)
    assert isinstance(plan.changes[-1], PublishEpoch)
    assert latest_epoch(empty) is None


@pytest.fixture
def command(empty: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("EXCHANGE_CONTRACT", str(write(tmp_path, CONTRACT.replace("2026-12-31", "2099-12-31"))))
    for name, value in environment(empty, tmp_path).items():
        monkeypatch.setenv(name, value)
    return lambda command, *options: CliRunner().invoke(command, options)


def test_plan_and_apply_as_commands(command: Callable[..., Result]) -> None:
    assert command(plan_command, "--detailed-exitcode").exit_code == 3
    told = json.loads(command(plan_command, "--output", "json").stdout)
    assert told["changes"][-1]["kind"] == "PublishEpoch"
    assert told["changes"][-1]["epoch"] == 1
    refused = command(apply_command)
    assert "nobody is here to ask" in str(refused.exception)
    applied = command(apply_command, "--yes")
    assert (applied.exit_code, "Epoch 1 is published." in applied.output) == (0, True)
    assert command(plan_command, "--detailed-exitcode").exit_code == 0
    assert "No changes" in command(apply_command).output


def test_without_a_cluster_the_remedy_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXCHANGE_CONTRACT", str(write(tmp_path)))
    monkeypatch.setenv("EXCHANGE_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setattr(bus_admin, "_BOOTSTRAP_MS", 500)
    result = CliRunner().invoke(plan_command)
    assert "exchange broker status" in str(result.exception)


def test_the_epoch_in_force_is_found_from_the_end_whoever_lost_a_race(empty: Cluster, tmp_path: Path) -> None:
    apply(empty, _plan(empty, loaded(tmp_path)))
    [first] = every_epoch(empty)
    # Of two with one number the first one counts; some were published by someone who looked long ago.
    for number in (2, 3, 4, 4, 5, 6, 2, 6, 3, 6, 6, 6, 6, 6):
        _publish(empty, first.epoch.model_copy(update={"number": number}))
    publish(empty, names.CONTRACT_TOPIC, [(b"nothing", None)])
    *_, last = every_epoch(empty)
    assert (last.epoch.number, last.offset) == (6, 6)
    assert latest_epoch(empty) == last


def test_who_has_left_is_known_without_the_history(
    empty: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = CONTRACT[: CONTRACT.index("grants:")]
    for name in ("civil", "civic", "civilian", "civic"):
        contract = loaded(tmp_path, text.replace("- id: civil", f"- id: {name}"))
        apply(empty, _plan(empty, contract))
    with monkeypatch.context() as patch:
        patch.setattr(shell, "every_epoch", lambda _: 1 / 0)
        known = read_actual(empty)
    assert known.departments == {"tax", "civil", "civic", "civilian"}
    assert known.epoch is not None
    assert known.epoch.former == ("civil", "civilian")
    # As by a version that did not say it.
    _publish(empty, known.epoch.model_copy(update={"number": known.epoch.number + 1, "former": None}))
    assert read_actual(empty).departments == known.departments
    assert _plan(empty, contract).is_empty


def test_who_has_not_taken_the_epoch_is_fenced(empty: Cluster, tmp_path: Path) -> None:
    apply(empty, _plan(empty, loaded(tmp_path)))
    with ExitStack() as routers, Adoption(empty) as adoption:
        taken, silent, old = (routers.enter_context(_Router(empty, name)) for name in ("7", "8", "9"))
        absent = routers.enter_context(Producer(empty, f"{names.ROUTER_GROUP}.10"))
        for router in (taken, silent, old):
            router.join()
        _publish_next(empty)
        old.adopt(1)
        taken.adopt(2)
        passed = _pass(empty, adoption)
        assert passed.adopted == {taken.name}
        assert passed.late == {silent.name, old.name}
        assert passed.absent == {absent.transactional_id}
        assert all(name in passed.text for name in (silent.name, old.name, absent.transactional_id))
        taken.adopt(2)
        for out in (silent.out, old.out, absent):
            with pytest.raises(FencedError), out.transaction() as transaction:
                transaction.send(names.LEDGER_TOPIC, 0, pack([b"k"], [b"v"], [0]))


def test_who_was_fenced_is_fenced_again_only_if_he_comes_back(empty: Cluster, tmp_path: Path) -> None:
    apply(empty, _plan(empty, loaded(tmp_path)))
    ids = [f"{names.ROUTER_GROUP}.replay.{n}" for n in "abc"]
    with ExitStack() as jobs, Admin(empty) as admin:
        opened, done, open_ = (jobs.enter_context(Producer(empty, name)) for name in ids)
        with done.transaction() as transaction:
            transaction.send(names.LEDGER_TOPIC, 0, pack([b"k"], [b"v"], [0]))
        with pytest.raises(FencedError), open_.transaction() as transaction:  # noqa: PT012
            transaction.send(names.LEDGER_TOPIC, 0, pack([b"k"], [b"v"], [0]))
            transaction.flush()
            assert admin.fence(ids) == set(ids)
            assert admin.fence(ids) == set()
        with pytest.raises(FencedError), opened.transaction() as transaction:
            transaction.send(names.LEDGER_TOPIC, 0, pack([b"k"], [b"v"], [0]))
        again = jobs.enter_context(Producer(empty, ids[1]))
        assert admin.fence(ids) == {ids[1]}
        with pytest.raises(FencedError), again.transaction() as transaction:
            transaction.send(names.LEDGER_TOPIC, 0, pack([b"k"], [b"v"], [0]))


def test_many_are_fenced_by_the_administrators_own_connection(empty: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = {f"{names.ROUTER_GROUP}.replay.{n}" for n in range(60)}
    with Admin(empty) as admin, Producer(empty, f"{names.ROUTER_GROUP}.1"):  # Kafka has what it keeps them in
        monkeypatch.setattr("exchange.bus.admin.Producer", lambda *_: 1 / 0)
        assert admin.fence(ids) == ids
        assert admin.fence(ids) == set()


def test_an_adoption_that_is_not_committed_does_not_count(empty: Cluster, tmp_path: Path) -> None:
    apply(empty, _plan(empty, loaded(tmp_path)))
    with Adoption(empty) as adoption, _Router(empty, "7") as router:
        router.join()
        _publish_next(empty)
        with pytest.raises(FencedError), router.out.transaction() as transaction:  # noqa: PT012
            router.say(transaction, 2)
            transaction.flush()
            assert _pass(empty, adoption).late == {router.name}


def test_who_cannot_be_fenced_is_told_and_tried_again(
    empty: Cluster, command: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unable(*_: object) -> None:
        raise BusUnavailableError("cannot fence producers: NotCoordinatorError")

    with Producer(empty, f"{names.ROUTER_GROUP}.12"):
        with monkeypatch.context() as patch:
            patch.setattr(Admin, "fence", unable)
            error = command(apply_command, "--yes").exception
        assert isinstance(error, EpochNotTakenError)
        assert "epoch 1 is published, but routers may still work under the one before: cannot fence" in error.message
        assert "exchange.router.12" in command(apply_command).output


def test_without_routers_there_is_nobody_to_wait_for(empty: Cluster, tmp_path: Path) -> None:
    apply(empty, _plan(empty, loaded(tmp_path)))
    with Adoption(empty) as adoption:
        assert _pass(empty, adoption, answer_s=30).late == set()


def test_what_a_run_did_not_live_to_wait_for_the_next_one_waits_for(
    empty: Cluster, command: Callable[..., Result]
) -> None:
    assert command(apply_command, "--yes").exit_code == 0
    with Producer(empty, f"{names.ROUTER_GROUP}.11") as router:
        _publish_next(empty)  # and then it died
        with pytest.raises(FencedError), router.transaction() as transaction:  # noqa: PT012
            transaction.send(names.LEDGER_TOPIC, 0, pack([b"k"], [b"v"], [0]))
            transaction.flush()
            told = command(apply_command).output
            assert "No changes" in told
            assert "No record is released under the contract before" in told
        # It was seen to: nobody is fenced once more.
        with router.transaction() as transaction:
            transaction.send(names.LEDGER_TOPIC, 0, pack([b"k"], [b"v"], [0]))
            transaction.flush()
            assert command(apply_command).output.splitlines() == ["No changes: the cluster is as the contract has it."]


class _Router:
    """What a router does for the barrier: it is in the group, has a producer and says that it takes an epoch."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.name = f"{names.ROUTER_GROUP}.{name}"
        self._instance = name
        self._cluster = replace(cluster, client_id=self.name)

    def __enter__(self) -> Self:
        self.out = Producer(self._cluster, self.name)
        self._stop = threading.Event()
        self._member = threading.Thread(target=self._poll, daemon=True)
        self._member.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.out.discard()
        self._stop.set()
        self._member.join()

    def _poll(self) -> None:
        with Consumer(self._cluster, topics=["subject.tax.income"], group=names.ROUTER_GROUP) as consumer:
            while not self._stop.is_set():
                consumer.poll(0.1)

    def join(self) -> None:
        """Return when it is in the group."""
        with Admin(self._cluster) as admin:
            wait_until(lambda: self.name in admin.clients(names.ROUTER_GROUP), f"{self.name} joins")

    def adopt(self, epoch: int) -> None:
        """Say what a router says when it takes an epoch."""
        with self.out.transaction() as transaction:
            self.say(transaction, epoch)

    def say(self, transaction: Transaction, epoch: int) -> None:
        """The same, not yet committed."""
        value = wire.pack(1, encode(ledger.adoption(epoch, self._instance, 0, 0)))
        partition = ledger.ledger_partition(names.CONTRACT_TOPIC, 0, LEDGER_PARTITIONS)
        transaction.send(
            names.LEDGER_TOPIC, partition, pack([ledger.record_key(names.CONTRACT_TOPIC, 0)], [value], [0])
        )
