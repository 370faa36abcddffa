"""`exchange apply` on a real Kafka: what the plan says becomes so, whatever comes between."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from exchange import names
from exchange.audit.gaps import open_gaps
from exchange.bus import Cluster
from exchange.bus import admin as bus_admin
from exchange.bus.admin import Admin, TopicRefusedError
from exchange.bus.topic import Topic
from exchange.bus.topics import publish, read_all
from exchange.cli.contract import apply as apply_command
from exchange.cli.contract import plan as plan_command
from exchange.contract import epoch as epochs
from exchange.epochs import epoch_in_force, latest_epoch
from exchange.epochs import epochs as every_epoch
from exchange.plan import apply as shell
from exchange.plan.apply import ConcurrentApplyError, PlanRefusedError, apply, read_actual
from exchange.plan.changes import Change, PublishEpoch
from exchange.schema import avro
from exchange.schema.registry import Registry
from tests.rigs.administrator import plan_of, publish_one
from tests.rigs.brokers import clear
from tests.rigs.contracts import CONTRACT, INCOME, loaded, write


def _number(cluster: Cluster) -> int:
    return epoch_in_force(cluster).number


def test_apply_twice_publishes_one_epoch(empty: Cluster, tmp_path: Path) -> None:
    contract = loaded(tmp_path)
    assert latest_epoch(empty) is None
    apply(empty, plan_of(empty, contract))
    again = plan_of(empty, contract)
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
    apply(empty, plan_of(empty, contract))
    assert epoch_in_force(empty).contract.grants[0].purpose.text == text


def test_an_interruption_anywhere_is_made_good(empty: Cluster, tmp_path: Path) -> None:
    class Interrupted(Exception):
        pass

    contract = loaded(tmp_path)
    total = len(plan_of(empty, contract).changes)
    for done in range(1, total, 5):
        clear(empty)
        plan, left = plan_of(empty, contract), iter(range(done))

        def stop(_: Change, left: Iterator[int] = left) -> None:
            if next(left, None) is None:
                raise Interrupted

        with pytest.raises(Interrupted):
            apply(empty, plan, stop)
        apply(empty, plan_of(empty, contract))
        assert plan_of(empty, contract).is_empty
        assert _number(empty) == 1


def test_partitions_and_configs_follow_the_contract(empty: Cluster, tmp_path: Path) -> None:
    apply(empty, plan_of(empty, loaded(tmp_path)))
    with Admin(empty) as admin:
        admin.alter("subject.tax.income", {"segment.ms": "60000"})
    more = CONTRACT.replace("share: conditional", "share: conditional\n    topic: {partitions: 5, retention_days: 1}")
    apply(empty, plan_of(empty, loaded(tmp_path, more)))
    with Admin(empty) as admin:
        topic = admin.topics()["subject.tax.income"]
    assert topic == Topic(5, 1, {"cleanup.policy": "delete", "retention.ms": "86400000", "segment.ms": "60000"})
    assert _number(empty) == 2


def test_schema_versions_stay_readable_by_a_second_registry(empty: Cluster, tmp_path: Path) -> None:
    apply(empty, plan_of(empty, loaded(tmp_path)))
    grown = [*INCOME, {"name": "note", "type": "string", "default": ""}]
    apply(empty, plan_of(empty, loaded(tmp_path, fields=grown)))
    records = [(r.key, r.value) for r in read_all(empty, names.SCHEMAS_TOPIC)]
    registry = Registry.read((*pair, at) for at, pair in enumerate(records))
    assert registry.ids("subject.tax.income-value") == epoch_in_force(empty).writers["tax.income"]
    for key, value in records:
        assert key is not None
        assert value is not None
        assert json.dumps(json.loads(key), separators=(",", ":")).encode() == key
        assert next(iter(json.loads(key))) == "keytype"


def test_foreign_records_in_schemas_do_not_stop_plan(empty: Cluster, tmp_path: Path) -> None:
    apply(empty, plan_of(empty, loaded(tmp_path)))
    publish(empty, names.SCHEMAS_TOPIC, [(b"not json", b"{}"), (b"[]", b"\xff"), (b'{"keytype":"OTHER"}', b"{")])
    assert plan_of(empty, loaded(tmp_path)).is_empty


def test_refusals_change_nothing(empty: Cluster, tmp_path: Path) -> None:
    apply(empty, plan_of(empty, loaded(tmp_path)))
    plan = plan_of(empty, loaded(tmp_path, fields=[*INCOME, {"name": "note", "type": "string"}]))
    before = list(read_all(empty, names.SCHEMAS_TOPIC))
    with pytest.raises(PlanRefusedError, match="is new and has no default"):
        apply(empty, plan)
    assert list(read_all(empty, names.SCHEMAS_TOPIC)) == before
    assert _number(empty) == 1


def test_only_a_named_orphan_is_deleted(empty: Cluster, tmp_path: Path) -> None:
    apply(empty, plan_of(empty, loaded(tmp_path)))
    without = CONTRACT[: CONTRACT.index("grants:")]
    apply(empty, plan_of(empty, loaded(tmp_path, without)))
    with Admin(empty) as admin:
        assert "inbox.civil.tax.income" in admin.topics()
    apply(empty, plan_of(empty, loaded(tmp_path, without), delete=("inbox.civil.tax.income",)))
    with Admin(empty) as admin:
        assert "inbox.civil.tax.income" not in admin.topics()


def test_a_subject_that_comes_back_with_another_topic_is_not_taken_for_the_one_before(
    empty: Cluster, tmp_path: Path
) -> None:
    topic, without = "subject.tax.income", CONTRACT[: CONTRACT.index("subjects:")] + "subjects: []\n"
    apply(empty, plan_of(empty, loaded(tmp_path)))
    first = latest_epoch(empty)
    apply(empty, plan_of(empty, loaded(tmp_path, without)))
    apply(empty, plan_of(empty, loaded(tmp_path, without), delete=(topic,)))
    apply(empty, plan_of(empty, loaded(tmp_path)))
    last = latest_epoch(empty)
    assert first is not None
    assert last is not None
    assert last.epoch.topic_ids[topic] == first.epoch.topic_ids[topic]
    # The offsets begin again at 0: without this, what the ledger says of the old ones would be held against the new.
    assert {gap.cause for gap in open_gaps(empty, last)} == {"recreated"}


def test_a_foreign_writer_of_schemas_at_the_same_time_is_noticed(empty: Cluster, tmp_path: Path) -> None:
    apply(empty, plan_of(empty, loaded(tmp_path)))
    contract = loaded(tmp_path, fields=[*INCOME, {"name": "note", "type": "string", "default": ""}])
    plan = plan_of(empty, contract)
    foreign = read_actual(empty).registry
    other = avro.parse('{"type":"record","name":"O","fields":[{"name":"a","type":"int"}]}')
    taken, records = foreign.register("other-value", other)
    publish(empty, names.SCHEMAS_TOPIC, records)
    with pytest.raises(ConcurrentApplyError):
        apply(empty, plan)
    assert _number(empty) == 1
    apply(empty, plan_of(empty, contract))
    assert taken not in _writers(empty)
    assert _number(empty) == 2
    assert plan_of(empty, contract).is_empty


def _writers(cluster: Cluster) -> tuple[int, ...]:
    return epoch_in_force(cluster).writers["tax.income"]


def test_of_two_administrators_the_first_publishes(empty: Cluster, tmp_path: Path) -> None:
    apply(empty, plan_of(empty, loaded(tmp_path)))
    mine = plan_of(empty, loaded(tmp_path, CONTRACT.replace("code: aid", "code: mine")))
    theirs = plan_of(empty, loaded(tmp_path, CONTRACT.replace("code: aid", "code: theirs")))
    apply(empty, theirs)
    with pytest.raises(ConcurrentApplyError):
        apply(empty, mine)
    assert epoch_in_force(empty).contract.grants[0].purpose.code == "theirs"


def test_a_record_that_is_no_epoch_stops(empty: Cluster, tmp_path: Path) -> None:
    apply(empty, plan_of(empty, loaded(tmp_path)))
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
    plan = plan_of(empty, loaded(tmp_path))
    with pytest.raises(PlanRefusedError, match="more than a record can hold"):
        apply(empty, plan)
    assert isinstance(plan.changes[-1], PublishEpoch)
    assert latest_epoch(empty) is None


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
    apply(empty, plan_of(empty, loaded(tmp_path)))
    [first] = every_epoch(empty)
    # Of two with one number the first one counts; some were published by someone who looked long ago.
    for number in (2, 3, 4, 4, 5, 6, 2, 6, 3, 6, 6, 6, 6, 6):
        publish_one(empty, first.epoch.model_copy(update={"number": number}))
    publish(empty, names.CONTRACT_TOPIC, [(b"nothing", None)])
    *_, last = every_epoch(empty)
    assert (last.epoch.number, last.offset) == (6, 6)
    assert latest_epoch(empty) == last
