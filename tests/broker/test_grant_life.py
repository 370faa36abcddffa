"""A grant from its request to its revocation, by the commands, on a real Kafka with a router at work."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from exchange import epochs
from exchange.bus import Cluster
from exchange.bus.topics import TopicAppender, publish
from exchange.cli import contract as contract_commands
from exchange.cli.grant import grant
from exchange.contract.epoch import without
from exchange.contract.model import Epoch
from exchange.epochs import epoch_in_force, publish_epoch
from exchange.errors import ExchangeError, TransientError
from exchange.plan import find as planning
from exchange.plan.apply import read_actual
from exchange.plan.plan import Actual
from exchange.router import rivals
from exchange.router.loop import Router
from exchange.schema import avro
from tests.rigs import plain
from tests.rigs.clients import environment, librdkafka
from tests.rigs.contracts import CONTRACT, write
from tests.rigs.routing import KEY, wire

SOURCE, INBOX = "subject.tax.income", "inbox.civil.tax.income"
BEFORE = CONTRACT.split("grants:", maxsplit=1)[0].replace("  - name", "  # what tax knows\n  - name") + "grants: []\n"
Command = Callable[..., str]
ASK = ("request", "--subject", "tax.income", "--fields", "resident_id,amount", "--until", "2099-12-31",
       "--purpose", "aid", "--basis", "Regulation 1", "--text", "To verify an income.")  # fmt: skip


@pytest.fixture
def contract(tmp_path: Path, fresh_cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = write(tmp_path, BEFORE)
    settings = environment(fresh_cluster, tmp_path)
    settings |= {"CONTRACT": str(path), "HOME": str(tmp_path / "home"), "AUTHORITY": "bureau"}
    for name, value in settings.items():
        monkeypatch.setenv(f"EXCHANGE_{name.removeprefix('EXCHANGE_')}", value)
    return path


@pytest.fixture
def command(contract: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run `exchange grant …` as `<person>@<department>`; its output, or the error that it raises."""

    def run(actor: str, *arguments: str) -> str:
        person, _, department = actor.partition("@")
        monkeypatch.setenv("EXCHANGE_OPERATOR", person)
        monkeypatch.setenv("EXCHANGE_DEPARTMENT", department)
        result = CliRunner().invoke(grant, arguments, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    return run


@pytest.fixture
def router(fresh_cluster: Cluster) -> Iterator[threading.Thread]:
    stop = threading.Event()
    thread = threading.Thread(target=Router(fresh_cluster, "grants", KEY).run, args=(stop,), daemon=True)
    thread.start()
    yield thread
    stop.set()
    thread.join(60)


def _epoch(cluster: Cluster) -> Epoch:
    return epoch_in_force(cluster)


def _publish(cluster: Cluster, years: range) -> None:
    schema_id = _epoch(cluster).writers["tax.income"][-1]
    schema = avro.parse(_epoch(cluster).schemas[schema_id])
    records = [{"resident_id": "440101", "year": y, "amount": b"", "status": "filed", "filed_on": None} for y in years]
    publish(cluster, SOURCE, [(b"440101", wire(schema_id, record, schema)) for record in records])


def _routed(cluster: Cluster) -> int:
    return plain.committed(librdkafka(cluster), "exchange.router", [(SOURCE, 0)]).get((SOURCE, 0), 0)


def _wait_routed(cluster: Cluster, count: int) -> None:
    plain.wait_until(lambda: _routed(cluster) >= count, "all is routed")


def _grant(command: Command) -> None:
    """Ask for a grant, and give it."""
    command("wang@civil", *ASK)
    command("li@bureau", "review", "1")
    command("zhao@tax", "answer", "1", "--agree")
    assert "is published" in command("li@bureau", "approve", "1", "--apply")


def _delivered(cluster: Cluster) -> int:
    return sum(1 for _ in plain.read(librdkafka(cluster), INBOX))


def test_from_request_to_delivery_to_revocation(
    fresh_cluster: Cluster, contract: Path, command: Command, router: threading.Thread
) -> None:
    _grant(command)
    [given] = _epoch(fresh_cluster).contract.grants
    assert (given.id, given.fields) == ("civil.income.1", ("resident_id", "amount"))
    _publish(fresh_cluster, range(10))
    _wait_routed(fresh_cluster, 10)
    assert _delivered(fresh_cluster) == 10

    told = command("zhao@tax", "revoke", given.id, "--reason", "The purpose no longer holds.")
    assert "epoch 2 is without it" in told
    assert "taken the new one" in told  # by this router, or by none: one that is slow to answer is fenced
    _publish(fresh_cluster, range(10, 20))
    _wait_routed(fresh_cluster, 20)
    assert _delivered(fresh_cluster) == 10
    assert contract.read_text() == BEFORE
    shown = json.loads(command("wang@civil", "show", "1", "--output", "json"))
    assert shown["state"] == "revoked"
    assert [event["act"] for event in shown["history"]] == ["request", "review", "agree", "approve", "revoke"]
    assert shown["history"][-1]["reason"] == "The purpose no longer holds."
    assert "5 events, unchanged" in command("wang@civil", "verify")


def test_who_revokes_again_and_again_ends_no_router(
    fresh_cluster: Cluster, contract: Path, command: Command, router: threading.Thread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rivals, "FENCED_AT_MOST", 3)
    _grant(command)
    number = _epoch(fresh_cluster).number
    routed = _routed(fresh_cluster)
    command("zhao@tax", "revoke", "civil.income.1", "--reason", "The purpose no longer holds.")
    for turn in range(1, 5):
        # What an interrupted run left undone, the next one does; here it is nothing.
        told = command("zhao@tax", "revoke", "civil.income.1", "--reason", "The purpose no longer holds.")
        assert "since an earlier command returned" in told
        _publish(fresh_cluster, range(1))
        _wait_routed(fresh_cluster, routed + turn)
    assert router.is_alive()
    assert _epoch(fresh_cluster).number == number + 1


def test_a_revocation_survives_another_epoch_that_comes_first(
    fresh_cluster: Cluster, contract: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    _grant(command)
    before = _epoch(fresh_cluster)
    tries = iter(range(2))

    def late(out: TopicAppender, epoch: Epoch) -> int:
        if next(tries) == 0:
            # Another administrator publishes under the number that the revocation is about to take.
            publish_epoch(out, without(before, "none", epoch.time))
        return publish_epoch(out, epoch)

    monkeypatch.setattr(epochs, "publish_epoch", late)
    command("wang@civil", "revoke", "civil.income.1", "--reason", "Not needed any more.")
    assert next(tries, None) is None
    assert _epoch(fresh_cluster).number == before.number + 2
    assert not _epoch(fresh_cluster).contract.grants


def test_an_apply_that_began_before_does_not_bring_a_revoked_grant_back(
    fresh_cluster: Cluster, contract: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    _grant(command)
    before = contract.read_bytes()
    contract.write_bytes(before.replace(b"To verify an income.", b"To verify wages."))

    def late(cluster: Cluster) -> Actual:
        # The file is read, the cluster not yet.
        command("zhao@tax", "revoke", "civil.income.1", "--reason", "The purpose no longer holds.")
        return read_actual(cluster)

    monkeypatch.setattr(planning, "read_actual", late)
    result = CliRunner().invoke(contract_commands.apply, ["--yes"])
    assert isinstance(result.exception, TransientError)
    assert "changed meanwhile" in str(result.exception)
    assert not _epoch(fresh_cluster).contract.grants


def test_a_file_that_cannot_be_edited_does_not_stop_a_revocation(
    fresh_cluster: Cluster, contract: Path, command: Command
) -> None:
    _grant(command)
    contract.write_text(contract.read_text() + "\n: [")
    with pytest.raises(ExchangeError, match="still in the contract file"):
        command("wang@civil", "revoke", "civil.income.1", "--reason", "Not needed any more.")
    assert not _epoch(fresh_cluster).contract.grants


def test_who_has_no_part_in_a_grant_cannot_revoke_it(fresh_cluster: Cluster, contract: Path, command: Command) -> None:
    _grant(command)
    with pytest.raises(ExchangeError, match="for bureau, tax, civil to revoke"):
        command("eve@health", "revoke", "civil.income.1", "--reason", "Because.")
    assert _epoch(fresh_cluster).contract.grants
    assert "civil.income.1" in contract.read_text()
