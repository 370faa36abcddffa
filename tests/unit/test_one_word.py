"""One word for one thing: no public class or module of the package has the name of another."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "exchange"

# A module that has a room's name there is about that room: its commands, its dashboard.
ABOUT_ROOMS = {"cli", "monitoring/dashboards"}
# Modules that are the same for each room that has one.
SAME_IN_EACH_ROOM = {
    "check": "is it as it must be: a contract, a connector, a case type, a record",
    "errors": "the tree of errors, and the room's own branch of it",
    "gaps": "what Kafka no longer keeps: how it is found, written down, told and passed over",
    "load": "what is read from a folder of files: a contract, a connector, a case type",
    "rounding": "how sums are rounded, said in the contract and done to rows",
    "store": "the room's database",
    "tables": "the room's database's tables",
    "topics": "the exchange's own topics: as the contract wants them, and read or written whole",
}


def named(folder: Path) -> Iterator[tuple[str, str]]:
    """Each public name in the package of that folder, and what it names: a room, a module, a class."""
    for path in sorted(folder.rglob("*.py")):
        module = path.relative_to(folder).with_suffix("")
        room = module.parent.as_posix()
        if module.name == "__init__":
            yield module.parent.name, room
        elif not module.name.startswith("_") and room not in ABOUT_ROOMS and module.name != module.parent.name:
            yield module.name, module.as_posix()
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield node.name, f"{module.as_posix()}.{node.name}"


def said_twice(names: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """The names that stand for more than one thing, with what they stand for."""
    things: defaultdict[str, list[str]] = defaultdict(list)
    for name, thing in names:
        things[name].append(thing)
    return {name: found for name, found in things.items() if len(found) > 1}


def test_a_name_stands_for_one_thing() -> None:
    found = said_twice(named(PACKAGE))
    assert {name: things for name, things in found.items() if name not in SAME_IN_EACH_ROOM} == {}
    assert SAME_IN_EACH_ROOM.keys() <= found.keys(), "an exception that nothing needs any more"


def test_the_test_sees_names_that_stand_for_two_things(tmp_path: Path) -> None:
    for room in ("bus", "router", "cli"):
        (tmp_path / room).mkdir()
        (tmp_path / room / "__init__.py").touch()
    (tmp_path / "bus" / "log.py").write_text("class Step: ...\nclass _Own: ...\n")
    (tmp_path / "router" / "log.py").write_text("class Step: ...\nclass _Own: ...\n")
    (tmp_path / "router" / "router.py").touch()
    (tmp_path / "cli" / "bus.py").touch()
    assert said_twice(named(tmp_path)) == {
        "log": ["bus/log", "router/log"],
        "Step": ["bus/log.Step", "router/log.Step"],
    }
