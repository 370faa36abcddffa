"""Who may import whom (DESIGN §2), and the one home of each library, read from the source itself."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "exchange"

_BASE = {"errors", "gap", "names", "printable", "private", "settings", "waiting"}
_WORDS = {"errors", "gap", "names", "printable", "settings"}
_MODELS = _BASE | {"contract", "document", "schema"}
_BUS = _MODELS | {"bus", "epochs"}
# room → the rooms that it may import, besides itself
ROOMS = {
    "errors": set(),
    "chain": {"errors"},
    "gap": {"errors"},
    "settings": set(),
    "names": set(),
    "metrics": {"errors"},
    "metrics_server": {"errors", "metrics"},
    "printable": set(),
    "private": set(),
    "process": set(),
    "waiting": set(),
    "sql": {"errors", "private", "waiting"},
    "logs": {"errors", "printable"},
    "keys": {"errors", "settings", "private"},
    "credentials": {"errors", "settings", "document", "names", "private"},
    "document": {"errors", "printable"},
    "workdays": {"errors", "printable", "document"},
    "schema": {"errors"},
    "contract": {"errors", "gap", "names", "document", "private", "schema"},
    "cases": {"errors", "chain", "settings", "printable", "private", "sql", "waiting", "document", "contract"}
    | {"workdays", "connect", "metrics"},
    "apps": {"errors", "printable", "private", "document", "contract", "cases", "workdays"},
    "policy": {"errors", "contract", "schema"},
    "records": {"errors", "contract", "schema"},
    "bus": {"errors", "gap", "names", "settings", "credentials", "records", "waiting"},
    "epochs": {"errors", "names", "bus", "contract"},
    "epoch_watch": {"errors", "names", "bus", "contract", "epochs"},
    "copies": set(),
    "plan": _BUS | {"credentials", "ledger"},
    "ledger": _BUS | {"metrics", "records", "sql"},
    "audit": _BUS | {"copies", "records", "ledger"},
    "grants": {"errors", "chain", "settings", "printable", "sql", "document", "contract", "metrics", "workdays"},
    "router": _BUS | {"epoch_watch", "metrics", "records", "policy", "ledger", "plan"},
    "replay": _BUS | {"epoch_watch", "records", "policy", "ledger", "router"},
    "connect": _BUS | {"copies", "credentials", "epoch_watch", "metrics", "records", "sql"},
    "broker": {"errors", "names", "private", "process", "settings", "credentials", "bus", "waiting"},
    "monitoring": {"errors", "private"},
    # No library of Kafka's or of databases (HOMES), no schema, record or policy: it asks, and prints the answers.
    "cli": _WORDS
    | {"audit", "broker", "bus", "cases", "connect", "contract", "document", "epochs", "grants", "keys", "ledger"}
    | {"logs", "metrics", "metrics_server", "monitoring", "plan", "replay", "router", "workdays"},
    "demo": _WORDS
    | {"audit", "broker", "bus", "cases", "cli", "connect", "contract", "epochs", "keys", "ledger", "metrics"}
    | {"private", "process", "records", "schema", "workdays"},
}
# What a room may import of another that is not open to it as a whole: what checks shares nothing with what it checks,
# and what speaks with people takes no part in the work.
ONLY = {
    ("audit", "ledger"): {"body", "entry", "merkle", "store", "tables", "tag_index"},
    ("plan", "ledger"): {"entry"},
    ("router", "plan"): {"apply", "changes", "find"},
    ("cli", "bus"): {"connection"},
    ("apps", "cases"): {"asked", "case_type", "clocks"},
    ("cli", "cases"): {"answering", "batch", "case", "case_page", "case_page_file", "case_row", "caseload"}
    | {"engine_worker", "events", "finding", "load", "question_check", "rules", "states", "statistics", "store"}
    | {"tables"},
    ("cli", "ledger"): {"entry", "follower", "store"},
    ("cli", "connect"): {"answer", "check", "database", "gaps", "load", "runner", "sample", "worker"},
    # The parts of a connector that know nothing of Kafka, but for the thread that all its work is done in.
    ("cases", "connect"): {"config", "database", "dialects", "extras", "load", "query", "worker"},
    ("cli", "router"): {"enact", "gaps", "loop", "quota_day", "revocation"},
}
# What starts the process.
WIRING = {"__main__", "__init__"}
CONNECTOR_ROOMS = {"connect", "contract", "errors"}
# library → the rooms that may use it
HOMES = {
    "kafka": {"bus"},
    "fastavro": {"schema"},
    "numba": {"records", "connect"},
    "sqlalchemy": {"sql", "ledger", "audit", "cases", "connect", "demo", "grants"},
    "psycopg": {"ledger", "connect"},
    "prometheus_client": {"metrics"},
    "chinese_calendar": {"workdays"},
    "click": {"cli", "demo"},
    "rich": {"cli", "demo"},
    "httpx2": {"connect"},
    "jinja2": {"cases"},
    "weasyprint": {"cases"},
    "python_calamine": {"connect"},
    "olefile": {"connect"},
    "pyarrow": {"connect"},
    "s3fs": {"connect"},
    "sshfs": {"connect"},
    "confluent_kafka": set(),
    "duckdb": set(),
    "testcontainers": set(),
}

MODULES = sorted(PACKAGE.rglob("*.py"))


def _room(module: Path) -> str:
    return module.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _plain(requirement: str) -> str:
    """The name of a distribution as indexes compare it, without extras and versions."""
    return re.split(r"[^\w.-]", requirement)[0].lower().replace("_", "-").replace(".", "-")


@cache
def _imports(path: Path) -> list[tuple[int, str]]:
    """Line and full name of everything that a module imports, wherever in it; of extras, too."""
    found = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        match node:
            case ast.Call(func=ast.Name(id="extra"), args=[ast.Constant(value=str(name)), _]):
                found.append((node.lineno, name))
            case ast.Import():
                found += [(node.lineno, alias.name) for alias in node.names]
            case ast.ImportFrom():
                assert node.level == 0, f"{path}:{node.lineno}: relative import"
                found += [(node.lineno, f"{node.module}.{alias.name}") for alias in node.names]
    return found


def _rooms_imported(path: Path) -> Iterator[tuple[int, str]]:
    for line, name in _imports(path):
        top, _, rest = name.partition(".")
        if top == "exchange" and rest:
            yield line, rest.partition(".")[0]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(module: Path) -> None:
    room = _room(module)
    if room in WIRING:
        return
    allowed = ROOMS[room] | {room}
    wrong = [f"line {line}: exchange.{name}" for line, name in _rooms_imported(module) if name not in allowed]
    assert not wrong, f"{room} may import {sorted(allowed)}"


@pytest.mark.parametrize(("room", "other"), ONLY)
def test_of_some_rooms_only_a_part_is_open(room: str, other: str) -> None:
    wrong = [
        f"{module.relative_to(ROOT)} line {line}: {name}"
        for module in MODULES
        if _room(module) == room
        for line, name in _imports(module)
        if name.startswith(f"exchange.{other}.") and name.split(".")[2] not in ONLY[room, other]
    ]
    assert not wrong


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_library_has_one_home(module: Path) -> None:
    room = _room(module)
    libraries = [(line, name.partition(".")[0]) for line, name in _imports(module)]
    wrong = [f"line {line}: {library}" for line, library in libraries if room not in HOMES.get(library, {room})]
    assert not wrong


@pytest.mark.parametrize("module", sorted((ROOT / "connectors").rglob("*.py")), ids=lambda path: path.parent.name)
def test_connectors_see_only_the_framework(module: Path) -> None:
    """The rules of cases see nothing but what they are given."""
    if module.parent.name == "cases":
        wrong = [f"line {line}: {name}" for line, name in _imports(module) if name.startswith("exchange.")]
        assert [each for each in wrong if not each.partition(": ")[2].startswith("exchange.cases.asked.")] == []
        return
    wrong = [f"line {line}: exchange.{name}" for line, name in _rooms_imported(module) if name not in CONNECTOR_ROOMS]
    assert not wrong


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_settings_reads_the_environment(module: Path) -> None:
    if _room(module) == "settings":
        return
    reads = [
        f"line {node.lineno}"
        for node in ast.walk(ast.parse(module.read_text("utf-8")))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and (node.value.id, node.attr) in {("os", "environ"), ("os", "getenv")}
    ]
    assert not reads


def test_every_library_is_declared_and_every_declared_one_used() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    declared = {_plain(name) for name in project["dependencies"]}
    declared |= {_plain(name) for extra in extras.keys() - {"dev"} for name in extras[extra]}
    providers = packages_distributions()
    used = {
        _plain(provider)
        for module in MODULES
        for _, name in _imports(module)
        if (library := name.partition(".")[0]) not in sys.stdlib_module_names | {"exchange"}
        for provider in providers.get(library, [f"{library} (not installed)"])
    }
    # llvmlite is a part of numba.
    assert used - {"llvmlite"} == declared


def test_every_room_is_in_the_table() -> None:
    assert {_room(module) for module in MODULES} - WIRING <= set(ROOMS)


def test_the_rules_see_imports_wherever_they_are(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text("def late():\n    from exchange.router import loop\n    import kafka.errors\n")
    assert list(_rooms_imported(module)) == [(2, "router")]
    assert (3, "kafka.errors") in _imports(module)
