"""The wheel, installed into an empty environment outside of the clone, for a user who may write nothing there."""

from __future__ import annotations

import os
import pwd
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from exchange.bus import Cluster
from tests.rigs.plain import wait_until
from tests.rigs.project import Project

ROOT = Path(__file__).resolve().parents[2]
Run = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.siege  # it installs all that the wheel needs, and compiles every kernel anew


def interpreter() -> str:
    """A Python that somebody else than root may run, too: root's own may lie in a closed folder."""
    found = shutil.which("python3", path="/usr/bin:/usr/local/bin") if os.geteuid() == 0 else None
    asked = f"import sys; sys.exit(sys.version_info[:2] != {sys.version_info[:2]})"
    same = found and subprocess.run([found, "-c", asked], check=False).returncode == 0
    return found if found and same else sys.executable


def nobody(python: str) -> dict[str, Any]:
    """Whom to run commands as: not root, if there is a choice."""
    if os.geteuid() != 0 or python == sys.executable:
        return {}
    return {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid, "extra_groups": []}


@pytest.fixture(scope="module")
def venv() -> Iterator[Path]:
    """An environment with the wheel and what it needs, and nothing of this clone."""
    folder = Path(tempfile.mkdtemp(prefix="exchange-wheel-"))
    source, python = folder / "source", folder / "venv" / "bin" / "python"
    ignored = shutil.ignore_patterns(".*", "build", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, source, ignore=ignored)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    for command in (
        [*pip, "wheel", "--no-deps", "--wheel-dir", folder, source],
        [interpreter(), "-m", "venv", "--without-pip", folder / "venv"],
    ):
        subprocess.run(command, check=True)
    [wheel] = folder.glob("*.whl")
    subprocess.run([*pip, "--python", python, "install", "-c", ROOT / "constraints.txt", wheel], check=True)
    subprocess.run(["chmod", "-R", "a+rX,a-w", folder], check=True)
    folder.chmod(0o755)
    yield folder / "venv"
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def project(own_cluster: Cluster, unique: str) -> Iterator[Project]:
    """A folder of its user's, with a contract, and connectors on SQLite."""
    folder = Path(tempfile.mkdtemp(prefix="exchange-installed-"))
    assert own_cluster.security is not None
    # The broker's folder is not open to all.
    authority = Path(shutil.copy(str(own_cluster.security.ca), folder / "ca.pem"))
    cluster = replace(own_cluster, security=own_cluster.security.model_copy(update={"ca": authority}))
    made = Project(folder, cluster, f"{unique}a", f"{unique}b")
    made.write()
    cursor = {"time": "recorded_at", "id": "serial"}
    source = {"subject": made.subject, "table": "income", "cursor": cursor, "lookback_s": 0}
    made.connector(made.owner, database=f"sqlite:///{folder}/owner.db", sources=[source])
    made.connector(made.reader, database=f"sqlite:///{folder}/reader.db", sinks=[{"subject": made.subject}])
    with sqlite3.connect(folder / "owner.db") as database:
        database.execute("CREATE TABLE income (resident_id, employer, year, amount, paid_on, recorded_at, serial)")
        row = ("440106199001010017", "穗城公司", 2024, "10.50", "2025-02-28", "2025-03-01 08:00:00", 1)
        database.execute("INSERT INTO income VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    database.close()
    yield made
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def run(venv: Path, project: Project) -> Run:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        with started(venv, project, *arguments) as process:
            out, error = process.communicate(timeout=120)
        assert process.returncode == 0, out + error
        return subprocess.CompletedProcess(arguments, 0, out, error)

    return run


@contextmanager
def started(venv: Path, project: Project, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The installed command, in a bare environment: without the clone, and without a home folder for caches."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **project.environment()}
    who = nobody(interpreter())
    if who:
        subprocess.run(["chown", "-R", who["user"], project.folder], check=True)
    process = subprocess.Popen(
        [venv / "bin" / "exchange", *arguments],
        env=environment, cwd=project.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **who,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def taken_in(project: Project) -> list[tuple[Any, ...]]:
    path = project.folder / "reader.db"
    if not path.exists():
        return []
    with sqlite3.connect(path) as database:
        is_made = database.execute("SELECT count(*) FROM sqlite_master WHERE name LIKE '%income'").fetchone()[0]
        name = f"{project.subject.replace('.', '_')}"
        return database.execute(f"SELECT employer, serial FROM {name}").fetchall() if is_made else []


@pytest.mark.timeout(900)  # each program compiles its kernels first
def test_an_installed_exchange_does_all_of_it(venv: Path, project: Project, run: Run) -> None:
    run("validate")
    assert "0 errors" in run("connector", "check", project.owner).stdout
    assert "create" in run("plan").stdout
    run("apply", "--yes")
    assert "No changes" in run("plan").stdout
    run("connector", "run", project.owner, "--until-idle")
    with (
        started(venv, project, "router", "run"),
        started(venv, project, "ledger", "follow"),
        started(venv, project, "connector", "run", project.reader),
    ):
        wait_until(lambda: taken_in(project) == [("穗城公司", 1)], "the record arrives", 400)
    run("ledger", "follow", "--until-idle")
    assert "balanced" in run("audit", "balance", "--against-kafka").stdout
    run("monitoring", "export", str(project.folder / "monitoring"))
    assert list((project.folder / "monitoring").rglob("*.json"))


def test_the_demo_stays_at_home(run: Run) -> None:
    assert "demo" not in run("--help").stdout
    assert "city" not in run("--help").stdout
