"""Who is let in to a secured broker, how the others are told, and what becomes of a password that is replaced."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from exchange import credentials
from exchange.broker import LocalBroker, certificates, properties
from exchange.broker.certificates import Certificates
from exchange.bus import Cluster, transport, users
from exchange.bus.admin import Admin
from exchange.bus.connection import BusLoginError, BusUntrustedError
from exchange.bus.consume import Consumer
from exchange.bus.produce import Producer
from exchange.bus.record import records
from exchange.bus.rule import Rule
from exchange.bus.topic import Topic
from exchange.bus.topics import publish
from exchange.cli.department import department
from exchange.contract.load import Loaded
from exchange.credentials import CredentialsError
from exchange.errors import ExchangeError
from exchange.ledger.entry import SCHEMA_FILE
from exchange.plan.apply import apply, read_actual
from exchange.plan.logins import LoginExistsError, StillNeededError, UnknownPrincipalError
from exchange.plan.plan import make_plan
from exchange.records.build import pack
from exchange.schema import avro
from tests.rigs.brokers import free_port
from tests.rigs.contracts import CONTRACT, loaded, write

SESSION_MS = 2000
"""How long a login lasts on this broker: short enough to see it end."""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, shared_jars: Path) -> Iterator[LocalBroker]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(properties, "REAUTHENTICATION_MS", SESSION_MS)
        local = LocalBroker(tmp_path_factory.mktemp("kafka"), free_port(), jars=shared_jars)
        local.start()
    yield local
    local.stop()


@pytest.fixture
def home(broker: LocalBroker) -> Path:
    return Path(broker.status().data).parents[1]


@pytest.fixture
def cluster(broker: LocalBroker) -> Cluster:
    return broker.cluster("exchange.tests")


def without_login(cluster: Cluster, _: Path) -> Cluster:
    return replace(cluster, security=None)


def with_wrong_password(cluster: Cluster, _: Path) -> Cluster:
    return with_security(cluster, password="canary-7f3a")


def as_nobody(cluster: Cluster, _: Path) -> Cluster:
    return with_security(cluster, username="nobody", password="canary-7f3a")


def with_another_authority(cluster: Cluster, folder: Path) -> Cluster:
    other = Certificates(folder, "exchange.broker")
    other.renew()
    return with_security(cluster, ca=other.authority)


def with_security(cluster: Cluster, **changes: object) -> Cluster:
    assert cluster.security is not None
    return replace(cluster, security=cluster.security.model_copy(update=changes))


def open_admin(cluster: Cluster) -> None:
    Admin(cluster)


def open_consumer(cluster: Cluster) -> None:
    Consumer(cluster)


def open_producer(cluster: Cluster) -> None:
    Producer(cluster, "nobody.1")


def publish_one(cluster: Cluster) -> None:
    publish(cluster, "anything", [(None, b"x")])


@pytest.mark.parametrize("use", [open_admin, open_consumer, open_producer, publish_one])
@pytest.mark.parametrize(
    ("wrong", "error", "told"),
    [
        (without_login, BusLoginError, "has no credentials"),
        (with_wrong_password, BusLoginError, "does not let exchange.admin in"),
        (as_nobody, BusLoginError, "does not let nobody in"),
        (with_another_authority, BusUntrustedError, "certificate that is not accepted"),
    ],
)
def test_who_is_not_let_in_is_told_so(
    cluster: Cluster,
    tmp_path: Path,
    use: Callable[[Cluster], None],
    wrong: Callable[[Cluster, Path], Cluster],
    error: type[ExchangeError],
    told: str,
) -> None:
    with pytest.raises(error) as refused:
        use(wrong(cluster, tmp_path))
    assert told in str(refused.value)
    assert refused.value.remedy
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize(("host", "logins"), [("127.0.0.1", 1), ("localhost", 2)])
def test_a_client_logs_in_once_to_a_broker(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, host: str, logins: int
) -> None:
    """Where it began with the address that the broker goes by."""
    made, build = [], transport._Manager._build_transport

    async def counted(self: Any, node: Any, timeout_at: float | None = None) -> Any:
        made.append(node.node_id)
        return await build(self, node, timeout_at)

    monkeypatch.setattr(transport._Manager, "_build_transport", counted)
    address = cluster.bootstrap_servers.replace("127.0.0.1", host)
    with Admin(replace(cluster, bootstrap_servers=address)) as admin:
        admin.topics()
        admin.rates()
    assert len(made) == logins


@contextmanager
def listening(talk: Callable[[socket.socket], object]) -> Iterator[str]:
    """The address of a server that has this to say to the first who connects."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)

        def run() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):
                talk(connection)

        thread = threading.Thread(target=run)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        thread.join()


def test_what_speaks_no_tls_is_told_so(cluster: Cluster) -> None:
    def talk(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        connection.recv(10_000)

    with listening(talk) as address, pytest.raises(BusUntrustedError, match=f"{address} does not speak TLS"):
        Admin(replace(cluster, bootstrap_servers=address))


def test_a_certificate_for_another_machine_is_not_accepted(
    home: Path, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificates, "_HOSTS", ("10.9.8.7",))
    stolen = Certificates(shutil.copytree(home / "broker" / "tls", tmp_path / "tls"), "exchange.broker")
    stolen.broker.unlink()
    stolen.renew()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(stolen.broker)

    def talk(connection: socket.socket) -> None:
        context.wrap_socket(connection, server_side=True).recv(1)

    with listening(talk) as address, pytest.raises(BusUntrustedError, match="IP address mismatch"):
        Admin(replace(cluster, bootstrap_servers=address))


API_VERSIONS = struct.pack(">ihhih1s", 11, 18, 0, 7, 1, b"x")
"""The one request that a Kafka listener without security answers to everybody."""


def ports(home: Path) -> dict[str, int]:
    """The listeners of the broker of that home, by name."""
    lines = (home / "broker" / "server.properties").read_text().splitlines()
    [listeners] = [line.removeprefix("listeners=") for line in lines if line.startswith("listeners=")]
    return {
        name: int(rest.rsplit(":", 1)[1]) for name, _, rest in (one.partition("://") for one in listeners.split(","))
    }


def answer(port: int, tls: ssl.SSLContext | None) -> bytes:
    """What comes back for a request for the versions; empty where the connection is closed or refused."""
    try:
        with ExitStack() as stack:
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            if tls:
                sock = stack.enter_context(tls.wrap_socket(sock, server_hostname="127.0.0.1"))
            sock.sendall(API_VERSIONS)
            return sock.recv(1000)
    except (ssl.SSLError, ConnectionResetError):
        return b""


def trusting(home: Path, certificate: Path | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=home / "credentials" / "ca.pem")
    if certificate:
        context.load_cert_chain(certificate)
    return context


def is_kafka(answered: bytes) -> bool:
    return answered[4:8] == (7).to_bytes(4, "big")


def test_no_port_answers_without_tls(home: Path) -> None:
    assert set(ports(home)) == {"CLIENTS", "BROKER", "CONTROLLER"}
    assert not any(is_kafka(answer(port, None)) for port in ports(home).values())


@pytest.mark.parametrize("listener", ["BROKER", "CONTROLLER"])
def test_only_the_broker_itself_is_answered_where_no_password_is_asked_for(
    home: Path, tmp_path: Path, listener: str
) -> None:
    port = ports(home)[listener]
    foreign = Certificates(tmp_path / "foreign", "exchange.broker")
    foreign.renew()
    shutil.copytree(home / "broker" / "tls", tmp_path / "same")
    (tmp_path / "same" / "broker.pem").unlink()
    other = Certificates(tmp_path / "same", "tax")  # of the right authority, for somebody else
    other.renew()
    assert is_kafka(answer(port, trusting(home, home / "broker" / "tls" / "broker.pem")))
    for certificate in (None, foreign.broker, other.broker):
        assert not is_kafka(answer(port, trusting(home, certificate)))


def test_the_password_is_asked_for_before_anything_is_answered(home: Path) -> None:
    """Versions may be asked for before; the next request has to be the login."""
    metadata = struct.pack(">ihhih1si", 15, 3, 1, 8, 1, b"x", -1)
    with (
        socket.create_connection(("127.0.0.1", ports(home)["CLIENTS"]), timeout=10) as plain,
        trusting(home).wrap_socket(plain, server_hostname="127.0.0.1") as sock,
    ):
        sock.sendall(metadata)
        assert sock.recv(1000) == b""


def test_a_connection_goes_on_when_the_password_is_asked_for_again(cluster: Cluster, unique: str) -> None:
    with Admin(cluster) as admin:
        admin.create({unique: Topic(1, 1, {"retention.ms": "-1"})})
    sent: list[bytes] = []
    got: list[bytes | None] = []
    ends = time.monotonic() + 3 * SESSION_MS / 1000
    with Producer(cluster, unique) as producer, Consumer(cluster, assignment={(unique, 0): 0}) as consumer:
        while time.monotonic() < ends or len(got) < len(sent):
            if time.monotonic() < ends:
                sent.append(b"%d" % len(sent))
                with producer.transaction() as transaction:
                    transaction.send(unique, 0, pack([None], [sent[-1]], [0]))
            got += [record.value for batch in consumer.poll(0.1) for record in records(batch)]
            assert time.monotonic() < ends + 30
    assert got == sent


@pytest.fixture
def command(home: Path, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    contract = write(tmp_path, CONTRACT.replace("2026-12-31", "2099-12-31"))
    monkeypatch.setenv("EXCHANGE_CONTRACT", str(contract))
    monkeypatch.setenv("EXCHANGE_HOME", str(home))
    monkeypatch.setenv("EXCHANGE_BOOTSTRAP_SERVERS", cluster.bootstrap_servers)

    def run(*arguments: str) -> Result:
        result = CliRunner().invoke(department, arguments)
        for path in (home / "credentials").glob("*.yaml"):
            assert credentials.load(path).password not in result.output
        return result

    return run


def test_departments_get_their_logins_once(command: Callable[..., Result], broker: LocalBroker, home: Path) -> None:
    listed = json.loads(command("list", "--output", "json").output)
    assert {row["principal"]: row["login"] for row in listed} == {
        "exchange.admin": True, "exchange.router": True, "exchange.ledger": True, "tax": False, "civil": False,
    }  # fmt: skip
    assert command("add", "tax").exit_code == 0
    first = credentials.load(credentials.file_of(home, "tax"))
    assert command("add", "--all").exit_code == 0
    assert "tax: has" in command("add", "tax", "civil").output
    assert credentials.load(credentials.file_of(home, "tax")) == first
    for principal in ("tax", "civil", *credentials.SERVICES):
        assert users.can_log_in(broker.cluster("exchange.tests", principal))
    credentials.file_of(home, "civil").rename(home / "handed-over.yaml")
    assert command("add", "--all").exit_code == 0
    assert isinstance(command("add", "civil").exception, LoginExistsError)
    assert isinstance(command("add", "taxes").exception, UnknownPrincipalError)
    assert isinstance(command("rotate-credential", "../tax").exception, UnknownPrincipalError)


def _apply(cluster: Cluster, contract: Loaded) -> None:
    apply(cluster, make_plan(contract, read_actual(cluster), avro.load(SCHEMA_FILE), datetime.now(UTC)))


def test_a_department_that_left_loses_its_login(
    command: Callable[..., Result], cluster: Cluster, broker: LocalBroker, home: Path, tmp_path: Path
) -> None:
    _apply(cluster, loaded(tmp_path))
    path = credentials.file_of(home, "civil")
    users.issue(cluster, {"civil": path})
    assert "topics.yaml still has department civil" in str(command("remove", "civil", "--yes").exception)
    without = loaded(tmp_path, CONTRACT[: CONTRACT.index("grants:")].replace("- id: civil", "- id: civic"))
    assert "epoch 1, which is in force, has civil" in str(command("remove", "civil", "--yes").exception)
    _apply(cluster, without)
    rule = Rule("User:civil", "topic", "inbox.civil.", "prefixed", "read")
    with Admin(cluster) as admin:
        admin.allow([rule])
        refused = command("remove", "civil", "--yes").exception
        assert isinstance(refused, StillNeededError)
        assert "may still read topics inbox.civil.…" in str(refused)
        admin.withdraw([rule])
    assert "nobody is here to ask" in str(command("remove", "civil").exception)
    login = broker.cluster("exchange.tests", "civil")
    assert users.can_log_in(login)

    done = command("remove", "civil", "--yes", "--output", "json")
    assert json.loads(done.output) == {"principal": "civil", "login": True, "files": [str(path)]}
    assert not users.can_log_in(login)
    assert not path.exists()
    assert isinstance(command("remove", "civil", "--yes").exception, UnknownPrincipalError)
    credentials.save(users.staged(path), with_security(cluster).security)  # type: ignore[arg-type]
    assert "civil: had no login" in command("remove", "civil", "--yes").output  # as after an interruption
    assert not users.staged(path).exists()


def test_nobody_elses_login_is_removed(
    command: Callable[..., Result], cluster: Cluster, broker: LocalBroker, tmp_path: Path
) -> None:
    users.issue(cluster, {"monitor@city": tmp_path / "monitor.yaml"})
    assert isinstance(command("remove", "exchange.router", "--yes").exception, StillNeededError)
    assert isinstance(command("remove", "monitor@city", "--yes").exception, CredentialsError)
    users.issue(cluster, {"monitor": tmp_path / "monitor.yaml"})
    assert isinstance(command("remove", "monitor", "--yes").exception, UnknownPrincipalError)
    listed = {row["principal"]: row for row in json.loads(command("list", "--output", "json").output)}
    for principal in ("monitor", "monitor@city", "exchange.router"):
        assert listed[principal]["login"]


@pytest.mark.parametrize("principal", ["exchange.ledger", "exchange.admin"])
def test_a_replaced_password_lets_nobody_in(
    command: Callable[..., Result], broker: LocalBroker, unique: str, principal: str
) -> None:
    """New connections are refused at once, those that are open when the broker asks again."""
    old = broker.cluster("exchange.tests", principal)
    with Admin(broker.cluster("exchange.tests")) as admin:
        admin.create({unique: Topic(1, 1, {"retention.ms": "-1"})})
    with Consumer(old, assignment={(unique, 0): 0}) as running:
        running.poll(0.1)
        assert command("rotate-credential", principal).exit_code == 0
        assert users.can_log_in(broker.cluster("exchange.tests", principal))
        assert not users.can_log_in(old)

        def poll_on() -> None:
            deadline = time.monotonic() + 10 * SESSION_MS / 1000
            while time.monotonic() < deadline:
                running.poll(0.2)

        with pytest.raises(BusLoginError, match=principal):
            poll_on()


def test_an_interrupted_rotation_of_the_administrator_is_made_good(
    command: Callable[..., Result], broker: LocalBroker, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(users, "take_up", lambda *_: 1 / 0)
        assert isinstance(command("rotate-credential", "exchange.admin").exception, ZeroDivisionError)
    assert isinstance(command("list").exception, BusLoginError)
    assert command("rotate-credential", "exchange.admin").exit_code == 0
    assert users.can_log_in(broker.cluster("exchange.tests"))


def test_where_nobody_logs_in_there_are_no_logins(tmp_path: Path) -> None:
    with pytest.raises(users.InsecureClusterError, match="EXCHANGE_CREDENTIALS"):
        users.issue(Cluster("127.0.0.1:1"), {"tax": tmp_path / "tax.yaml"})
    assert not list(tmp_path.glob("tax*"))
