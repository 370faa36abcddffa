"""The ledger's store on both databases, for every test of it; a cluster without topics, and commands on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from exchange import names
from exchange.broker import LocalBroker
from exchange.bus import Cluster
from exchange.connect import sink
from exchange.ledger.store import LedgerStore
from tests.rigs.brokers import CLIENT, clear
from tests.rigs.clients import environment
from tests.rigs.contracts import CONTRACT, write
from tests.rigs.inbox import BY_COLUMNS, BY_ROWS
from tests.rigs.office import Office
from tests.rigs.project import Project
from tests.rigs.sinks import url_of


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    return str(request.getfixturevalue("postgres_database"))


@pytest.fixture(params=["rows-sqlite", "columns-postgresql"])
def reader_url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty database; sinks write into it row by row, or by columns as soon as there are two records.

    One way for each database is enough: test_connect_sink_columns shows that on both of them both make the same.
    """
    way, kind = request.param.split("-")
    monkeypatch.setattr(sink, "FEW", {"rows": BY_ROWS, "columns": BY_COLUMNS}[way])
    return url_of(request, tmp_path, kind)


@pytest.fixture
def store(url: str) -> Iterator[LedgerStore]:
    made = LedgerStore(url)
    yield made
    made.close()


@pytest.fixture
def project(own_cluster: Cluster, tmp_path: Path, unique: str) -> Iterator[Project]:
    """A contract of the test's own, which is not applied yet."""
    yield Project(tmp_path, own_cluster, f"{unique}a", f"{unique}b")
    clear(own_cluster, unique)


@pytest.fixture
def office(broker: LocalBroker, own_cluster: Cluster, unique: str) -> Iterator[Office]:
    """A subject of the test's own, which has no topic yet."""
    yield Office(own_cluster, unique, broker.cluster(CLIENT, names.ROUTER_PRINCIPAL))
    clear(own_cluster, unique)


@pytest.fixture
def empty(fresh_cluster: Cluster) -> Cluster:
    """A cluster without topics and rules."""
    clear(fresh_cluster)
    return fresh_cluster


@pytest.fixture
def command(empty: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("EXCHANGE_CONTRACT", str(write(tmp_path, CONTRACT.replace("2026-12-31", "2099-12-31"))))
    for name, value in environment(empty, tmp_path).items():
        monkeypatch.setenv(name, value)
    return lambda command, *options: CliRunner().invoke(command, options)
