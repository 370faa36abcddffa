"""A real PostgreSQL for the tests; a missing one fails them, it never skips."""

from __future__ import annotations

import grp
import os
import platform
import pwd
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
import uuid
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import URL, make_url

from exchange.settings import Settings
from tests.rigs.brokers import free_port

_DRIVER = "postgresql+psycopg"
_BUNDLE = "io.zonky.test.postgres:embedded-postgres-binaries-{system}:16.6.0"
_MISSING = (
    "PostgreSQL is not there, and Maven could not fetch it: these tests need its server programs.\n"
    "Remedy: install them (Debian: apt-get install postgresql; macOS: brew install postgresql), "
    "or name a server you may create databases on: EXCHANGE_TEST_POSTGRES_URL=postgresql://user@host:5432/postgres"
)
# A database with a slot cannot be dropped, and a slot in use cannot be dropped either.
_END_SLOTS = "SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots WHERE database = %s AND active"
_DROP_SLOTS = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = %s"


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """SQLAlchemy URL of a server: `EXCHANGE_TEST_POSTGRES_URL`, else one started here.

    The programs are the installed ones, else those that Maven fetches.
    """
    named = os.environ.get("EXCHANGE_TEST_POSTGRES_URL")
    if named:
        yield _text(make_url(named).set(drivername=_DRIVER))
        return
    folder = Path(tempfile.mkdtemp(prefix="exchange-postgres-"))
    try:
        yield from _server(_programs(folder), folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_database(postgres_url: str) -> Iterator[str]:
    """SQLAlchemy URL of an empty database of the test's own."""
    server = make_url(postgres_url)
    name = f"t{uuid.uuid4().hex[:10]}"
    plain = _text(server.set(drivername="postgresql"))
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
        yield _text(server.set(database=name))
        connection.execute(_END_SLOTS, [name])
        connection.execute(_DROP_SLOTS, [name])
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


def _server(programs: Path, folder: Path) -> Iterator[str]:
    # PostgreSQL refuses to run as root.
    user: dict[str, Any] = (
        {"user": "nobody", "group": _group_of("nobody"), "extra_groups": []} if os.geteuid() == 0 else {}
    )
    if user:
        shutil.chown(folder, user["user"], user["group"])
    data, port = folder / "data", free_port()
    initdb = [programs / "initdb", "-D", data, "-U", "exchange", "-A", "trust", "-E", "UTF8", "--no-sync"]
    made = subprocess.run(initdb, capture_output=True, text=True, check=False, cwd=folder, **user)
    if made.returncode != 0:
        pytest.fail(f"initdb failed: {made.stderr}", pytrace=False)
    serve = [programs / "postgres", "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", folder, "-F"]
    serve += ["-c", "wal_level=logical", "-c", "max_replication_slots=50", "-c", "max_wal_senders=50"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(serve, stdout=log, stderr=log, cwd=folder, **user)
    try:
        url = URL.create(_DRIVER, username="exchange", host="127.0.0.1", port=port, database="postgres")
        _wait_until_reachable(_text(url.set(drivername="postgresql")), process, folder / "log")
        yield _text(url)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)


def _programs(folder: Path) -> Path:
    packaged = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    found = shutil.which("postgres") or (packaged and packaged[-1]) or _fetched(folder)
    return Path(found).resolve().parent


def _fetched(folder: Path) -> Path:
    """The programs as Maven has them, unpacked into `folder`."""
    machine = "arm64v8" if platform.machine() in ("arm64", "aarch64") else "amd64"
    bundle = _BUNDLE.format(system=f"{platform.system().lower()}-{machine}")
    command = [Settings().maven, "-B", "-q", "dependency:copy", f"-Dartifact={bundle}", f"-DoutputDirectory={folder}"]
    if shutil.which(command[0]) is None or subprocess.run(command, check=False, cwd=folder).returncode != 0:
        pytest.fail(_MISSING, pytrace=False)
    with zipfile.ZipFile(next(folder.glob("*.jar"))) as jar:
        archive = next(name for name in jar.namelist() if name.endswith(".txz"))
        with jar.open(archive) as packed, tarfile.open(fileobj=packed, mode="r:xz") as programs:
            programs.extractall(folder / "programs", filter="data")
    return folder / "programs" / "bin" / "postgres"


def _wait_until_reachable(url: str, process: subprocess.Popen[bytes], log: Path, *, timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            psycopg.connect(url, connect_timeout=2).close()
            return
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"PostgreSQL did not start: {log.read_text()[-2000:]}", pytrace=False)
            time.sleep(0.05)


def _group_of(user: str) -> str:
    return grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name


def _text(url: URL) -> str:
    return url.render_as_string(hide_password=False)
