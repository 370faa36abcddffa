"""A real Kafka for the tests; a missing one fails them, it never skips."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import cache
from pathlib import Path
from unittest import mock

import docker
import pytest
from docker.errors import DockerException
from kafka.net.sasl.scram import ScramClient
from testcontainers.community.kafka import KafkaContainer

from exchange.broker import LocalBroker
from exchange.broker.jars import resolve
from exchange.broker.properties import ONE_NODE
from exchange.bus import Cluster
from exchange.bus.admin import Admin
from exchange.credentials import load
from exchange.settings import Settings
from tests.rigs import plain
from tests.rigs.clients import librdkafka

CLIENT = "exchange.tests"
_IMAGE = "confluentinc/cp-kafka:8.0.0"
_CLASSES = Path(__file__).parents[2] / "build" / "kafka.jsa"
# Java's second compiler and its collector of many threads are for programs that run longer than a test's broker.
_JAVA = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xlog:disable"


def pytest_configure(config: pytest.Config) -> None:
    """Let brokers start fast: the options are for each Java that this process or a child of it starts."""
    os.environ.setdefault("JDK_JAVA_OPTIONS", f"{_JAVA} -XX:SharedArchiveFile={_CLASSES}")
    ScramClient.create_salted_password = _salt  # a test logs in up to a hundred times, with few passwords
    if config.getoption("numprocesses", None):  # true of the process that starts the workers
        _archive_classes()


def _salt(client: ScramClient, salt: bytes, iterations: int) -> None:
    client.salted_password = _salted(client.hashname, client.password, salt, iterations)


@cache
def _salted(hash_name: str, password: bytes, salt: bytes, iterations: int) -> bytes:
    """4,096 rounds, 2.4 ms of CPU: a quarter of what kafka-python takes to connect."""
    return hashlib.pbkdf2_hmac(hash_name, password, salt, iterations)


def _archive_classes() -> None:
    """Make the archive of Kafka's classes, unless it is there and newer than the jars.

    With it, a broker starts and stops in less than 4 seconds of CPU; without it, in more than 6.
    """
    made = (_jars() / "pom.xml").stat().st_mtime
    if _CLASSES.exists() and _CLASSES.stat().st_mtime > made:
        return
    _CLASSES.parent.mkdir(exist_ok=True)
    options = {"JDK_JAVA_OPTIONS": f"{_JAVA} -XX:ArchiveClassesAtExit={_CLASSES}"}
    with mock.patch.dict(os.environ, options), tempfile.TemporaryDirectory() as home, _running(Path(home)):
        pass  # the archive is written when the broker stops


def free_port() -> int:
    """A port of this machine that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalBroker]:
    """The local broker of one test process: its modules share it, nobody else routes on it."""
    with _running(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


@pytest.fixture(scope="module")
def own_cluster(broker: LocalBroker) -> Iterator[Cluster]:
    """The cluster of one test process, as its administrator: empty when a module begins."""
    cluster = broker.cluster(CLIENT)
    yield cluster
    clear(cluster)


def clear(cluster: Cluster, part: str = "") -> None:
    """Remove the topics and rules that have this part in their names: every `exchange apply` reads all there are."""
    with Admin(cluster) as admin:
        admin.delete([name for name in plain.topics(librdkafka(cluster)) if part in name])
        admin.withdraw([rule for rule in admin.access() or () if part in rule.principal + rule.name])


@pytest.fixture(scope="session")
def other_cluster() -> Iterator[Cluster | None]:
    """The cluster of `EXCHANGE_BOOTSTRAP_SERVERS` (with `EXCHANGE_CREDENTIALS` if it has security), else a container.

    None if there is neither.
    """
    settings = Settings()
    with ExitStack() as stack:
        if "bootstrap_servers" in settings.model_fields_set:
            yield Cluster(settings.bootstrap_servers, CLIENT, settings.credentials and load(settings.credentials))
        else:
            container = _container(stack)
            yield Cluster(container, CLIENT) if container else None


@pytest.fixture(scope="module")
def cluster(other_cluster: Cluster | None, request: pytest.FixtureRequest) -> Cluster:
    """A cluster that tests of other processes may share, as its administrator: take names from `unique`.

    That which is given or a container, which has no security, else the process's own.
    """
    return other_cluster or request.getfixturevalue("own_cluster")


@pytest.fixture(scope="module")
def fresh_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalBroker]:
    """A broker for one test module, with nothing on it, which it may stop or kill."""
    with _running(tmp_path_factory.mktemp("卡夫卡 \\x")) as broker:  # home folders have names of all kinds
        yield broker


@pytest.fixture
def private_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalBroker]:
    """A broker for one test, with nothing on it, which it may stop or kill."""
    with _running(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


@pytest.fixture(scope="module")
def fresh_cluster(fresh_broker: LocalBroker) -> Cluster:
    """The empty cluster of one test module, as its administrator."""
    return fresh_broker.cluster(CLIENT)


@pytest.fixture(scope="session")
def shared_jars() -> Path:
    """The project's own jars folder, so that no test fetches them again."""
    return _jars()


def _jars() -> Path:
    settings = Settings()
    return resolve(settings.home.resolve() / "broker" / "jars", settings.maven, lambda _: None)


@contextmanager
def _running(home: Path) -> Iterator[LocalBroker]:
    """A local broker with the project's jars; its data goes when it stops, its log stays in pytest's folder."""
    settings = Settings()
    broker = LocalBroker(home, free_port(), java=settings.java, maven=settings.maven, jars=_jars())
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()
        shutil.rmtree(home / "broker" / "data", ignore_errors=True)


def _container(stack: ExitStack) -> str | None:
    """The address of a Kafka container; None where no Docker engine answers or it has no such image."""
    try:
        with closing(docker.from_env(timeout=5)) as engine:
            engine.ping()
    except DockerException:
        return None
    kafka = KafkaContainer(_IMAGE).with_kraft()
    for name, value in ONE_NODE.items():
        kafka.with_env("KAFKA_" + name.replace(".", "_").upper(), value)
    try:
        return str(stack.enter_context(kafka).get_bootstrap_server())
    except DockerException as error:
        warnings.warn(f"Docker answers but does not run {_IMAGE}: using a local broker ({error})", stacklevel=2)
        return None
