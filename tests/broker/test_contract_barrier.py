"""No record is released under the earlier contract: who has not taken the new one is fenced, told and fenced again."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from click.testing import Result

from exchange import names
from exchange.bus import Cluster
from exchange.bus.admin import Admin
from exchange.bus.connection import BusUnavailableError
from exchange.bus.produce import FencedError, Producer
from exchange.cli.contract import apply as apply_command
from exchange.epochs import latest_epoch
from exchange.plan import apply as shell
from exchange.plan.apply import apply, read_actual
from exchange.records.build import pack
from exchange.router.barrier import ANSWER_S, Adoption, EpochNotTakenError, Passed
from tests.rigs.administrator import Adopter, plan_of, publish_again, publish_one
from tests.rigs.contracts import CONTRACT, loaded


def _pass(cluster: Cluster, adoption: Adoption, answer_s: float = ANSWER_S) -> Passed:
    found = latest_epoch(cluster)
    assert found is not None
    return adoption.passed(found, answer_s=answer_s)


def test_who_has_left_is_known_without_the_history(
    empty: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = CONTRACT[: CONTRACT.index("grants:")]
    for name in ("civil", "civic", "civilian", "civic"):
        contract = loaded(tmp_path, text.replace("- id: civil", f"- id: {name}"))
        apply(empty, plan_of(empty, contract))
    with monkeypatch.context() as patch:
        patch.setattr(shell, "every_epoch", lambda _: 1 / 0)
        known = read_actual(empty)
    assert known.departments == {"tax", "civil", "civic", "civilian"}
    assert known.epoch is not None
    assert known.epoch.former == ("civil", "civilian")
    # As by a version that did not say it.
    publish_one(empty, known.epoch.model_copy(update={"number": known.epoch.number + 1, "former": None}))
    assert read_actual(empty).departments == known.departments
    assert plan_of(empty, contract).is_empty


def test_who_has_not_taken_the_epoch_is_fenced(empty: Cluster, tmp_path: Path) -> None:
    apply(empty, plan_of(empty, loaded(tmp_path)))
    with ExitStack() as routers, Adoption(empty) as adoption:
        taken, silent, old = (routers.enter_context(Adopter(empty, name)) for name in ("7", "8", "9"))
        absent = routers.enter_context(Producer(empty, f"{names.ROUTER_GROUP}.10"))
        for router in (taken, silent, old):
            router.join()
        publish_again(empty)
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
    apply(empty, plan_of(empty, loaded(tmp_path)))
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
    apply(empty, plan_of(empty, loaded(tmp_path)))
    with Adoption(empty) as adoption, Adopter(empty, "7") as router:
        router.join()
        publish_again(empty)
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
    apply(empty, plan_of(empty, loaded(tmp_path)))
    with Adoption(empty) as adoption:
        assert _pass(empty, adoption, answer_s=30).late == set()


def test_what_a_run_did_not_live_to_wait_for_the_next_one_waits_for(
    empty: Cluster, command: Callable[..., Result]
) -> None:
    assert command(apply_command, "--yes").exit_code == 0
    with Producer(empty, f"{names.ROUTER_GROUP}.11") as router:
        publish_again(empty)  # and then it died
        with pytest.raises(FencedError), router.transaction() as transaction:  # noqa: PT012
            transaction.send(names.LEDGER_TOPIC, 0, pack([b"k"], [b"v"], [0]))
            transaction.flush()
            told = command(apply_command).output
            assert "No changes" in told
            assert "No record is released under the earlier contract" in told
        # It was seen to: nobody is fenced once more.
        with router.transaction() as transaction:
            transaction.send(names.LEDGER_TOPIC, 0, pack([b"k"], [b"v"], [0]))
            transaction.flush()
            assert command(apply_command).output.splitlines() == ["No changes: the cluster is as the contract has it."]
