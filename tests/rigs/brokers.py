"""A real Kafka for the tests; a missing one fails them, it never skips."""

from __future__ import annotations

import shutil
import socket
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import docker
import pytest
from docker.errors import DockerException
from testcontainers.community.kafka import KafkaContainer

from exchange.broker import LocalBroker
from exchange.broker.jars import resolve
from exchange.broker.properties import ONE_NODE
from exchange.bus import Cluster
from exchange.credentials import load
from exchange.settings import Settings

CLIENT = "exchange.tests"
_IMAGE = "confluentinc/cp-kafka:8.0.0"


def free_port() -> int:
    """A port of this machine that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalBroker]:
    """The local broker of one test process: its modules share it, nobody else routes on it. It is never cleared."""
    with _running(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


@pytest.fixture(scope="session")
def own_cluster(broker: LocalBroker) -> Cluster:
    """The cluster of one test process, as its administrator."""
    return broker.cluster(CLIENT)


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """The cluster that all tests share, as its administrator. Topics are never cleared: take names from `unique`.

    That of `EXCHANGE_BOOTSTRAP_SERVERS` (with `EXCHANGE_CREDENTIALS` where it has security), else a
    container, which has none, else the process's own.
    """
    settings = Settings()
    with ExitStack() as stack:
        if "bootstrap_servers" in settings.model_fields_set:
            yield Cluster(settings.bootstrap_servers, CLIENT, settings.credentials and load(settings.credentials))
        elif container := _container(stack):
            yield Cluster(container, CLIENT)
        else:
            yield request.getfixturevalue("own_cluster")


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
