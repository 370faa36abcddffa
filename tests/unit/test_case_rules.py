"""Findings are made again by the text of their rule as it was, whatever has become of its file."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa

from exchange.cases import tables
from exchange.cases.case_row import row_of
from exchange.cases.caseload import Caseload
from exchange.cases.finding import again
from exchange.cases.rules import CaseRuleFileError, LoadedType, kept
from exchange.cases.store import CaseHistoryError
from exchange.workdays import Calendar
from tests.rigs.case_world import CLERK, DAY, NOW, SHAPES, STREET, World
from tests.rigs.cases import household, household_file

RULE = """\
from __future__ import annotations
from dataclasses import dataclass
from exchange.cases.asked import Because, CaseFacts, Conclusion

@dataclass
class Sum:
    of: int

def finding_2016(facts: CaseFacts) -> Conclusion:
    asked = [fact.answer.question_id for fact in facts.facts]
    return Conclusion("{outcome}", [Because("All of it.", asked)], {{"answers": str(Sum(len(asked)).of)}})

finding_2020 = finding_2016
"""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(f"sqlite:///{tmp_path / 'office.db'}")
    yield world
    world.close()


@pytest.fixture
def rule(world: World, tmp_path: Path) -> Path:
    """The file of the rules of the world's case type, which is the example's with two items."""
    example = household(tmp_path)
    folder = household_file(tmp_path / "connectors").parent
    its = (item for item in example.items if item.name in SHAPES)
    items = tuple(item.model_copy(update={"answer": SHAPES[item.name]}) for item in its)
    world.types["household"] = LoadedType(example.model_copy(update={"items": items}), folder)  # type: ignore[assignment]
    (folder / "household.py").write_text(RULE.format(outcome="eligible"))
    return folder / "household.py"


def found(world: World, *, opened: bool = False) -> None:
    if not opened:
        world.open()
    world.engine.work(NOW)
    world.answer_all()
    done = world.engine.work(NOW + DAY)
    assert not done.failed
    assert world.kinds()[-1] == "found"


def remade(world: World) -> list[bool]:
    return [each.same for each in again(world.store.history("C1"), partial(kept, world.store))]


def test_a_finding_is_made_again_by_its_rule_of_then(world: World, rule: Path) -> None:
    found(world)
    case = world.store.case("C1")
    assert case.finding is not None
    assert (case.finding.outcome, case.finding.values) == ("eligible", {"answers": "4"})
    rule.write_text(RULE.format(outcome="excluded"))
    world.acts.amend(case, CLERK, "The rule was wrong.", NOW + DAY)
    rule.unlink()
    assert remade(world) == [True, True]
    assert [event.finding.outcome for event in world.store.history("C1") if event.kind in ("found", "amended")] == [
        "eligible", "excluded",
    ]  # fmt: skip


def test_a_rule_whose_text_was_changed_afterwards_is_found_out(world: World, rule: Path) -> None:
    found(world)
    with world.store.engine.begin() as connection:
        connection.execute(sa.update(tables.rules).values(source=RULE.format(outcome="excluded")))
    with pytest.raises(CaseHistoryError, match="is not what was written"):
        remade(world)


def test_without_its_file_a_case_is_not_opened(world: World, rule: Path) -> None:
    rule.unlink()
    with pytest.raises(CaseRuleFileError, match=r"household\.py cannot be read: FileNotFoundError"):
        world.open()


@pytest.mark.parametrize(("does", "error"), [("return secret", "NameError"), ("raise SystemExit", "SystemExit")])
def test_a_rule_that_cannot_be_run_holds_up_its_case_alone(world: World, rule: Path, does: str, error: str) -> None:
    rule.write_text(f"def finding_2020(facts):\n    {does}\n")
    world.open()
    world.engine.work(NOW)
    world.answer_all()
    [(case_no, failed)] = world.engine.work(NOW + DAY).failed.items()
    assert (case_no, failed.message) == ("C1", f"case C1: rule household.py:finding_2020 fails with {error}")
    rule.write_text(RULE.format(outcome="eligible"))
    assert not world.engine.work(NOW + DAY).failed
    assert remade(world) == [True]


def test_a_rule_does_not_change_the_values_that_are_written_down_of_it(world: World, rule: Path) -> None:
    rule.write_text("def finding_2020(facts):\n    facts.parameters['standard'] = '0'\n")
    world.open()
    world.engine.work(NOW)
    world.answer_all()
    [failed] = world.engine.work(NOW + DAY).failed.values()
    assert failed.message.endswith("fails with TypeError")


def test_a_value_keeps_its_decimals_as_they_are_written(world: World, rule: Path) -> None:
    loaded = world.types["household"]
    assert isinstance(loaded, LoadedType)
    small = tuple(
        each.model_copy(update={"value": Decimal("0.00000010")}) if each.name == "standard" else each
        for each in loaded.case_type.parameters
    )
    changed = LoadedType(loaded.case_type.model_copy(update={"parameters": small}), loaded.folder)
    assert changed.parameters_on(NOW.date(), "4401")["standard"] == "0.00000010"


def test_the_whole_is_due_until_it_is_decided(world: World, rule: Path) -> None:
    load = Caseload(world.store, world.acts, world.engine, world.types, Calendar())  # type: ignore[arg-type]
    case, today = world.open(), NOW.date()
    assert load.due(row_of(case), today) == Calendar().due(today, 18)
    found(world, opened=True)
    case = world.store.case("C1")
    assert load.due(row_of(case), today + 60 * DAY) == Calendar().due(today, 18), "late as it is"
    assert load.due(row_of(world.acts.decide(case, STREET, "granted", ["Poor."], NOW)), today) is None
