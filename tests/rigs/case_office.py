"""An office with a folder of its own: connector.yaml, a small case type with its rule, and a database of SQLite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from exchange.cases.acts import CaseActs
from exchange.cases.caseload import types
from exchange.cases.engine import CaseEngine
from exchange.cli.main import exchange
from exchange.workdays import Calendar
from tests.rigs.case_world import ASKED, NOW, OFFICE, World, table_of

CONNECTOR = """\
department: civil-affairs
database: sqlite:///office.db
sources:
  - {subject: civil-affairs.question, table: exchange_questions, cursor: {time: updated_at, id: id}}
sinks:
  - subject: tax.answer
  - subject: police.answer
"""
CASE_TYPE = """\
title: {zh: 低保家庭经济状况核对, en: Household economic status}
basis: Interim Measures for Social Assistance 2014, art. 58
within: 18
decided_by: street-office
authorised: true
sums: [spared]
items:
  - name: wages
    asks: tax
    about: {period: 12 months}
    within: 5
    remind: 3
    parameters: [standard]
    answer: {total: {shape: value, scale: 2}}
  - {name: cars, asks: police, about: {day: query}, within: 5, answer: {cars: {shape: count}}}
parameters:
  - {name: standard, region: "4401", from: 2020-01-01, until: null, value: "950.00", basis: a notice}
rules:
  - {from: 2020-01-01, until: null, python: household.py:finding, basis: the same}
"""
RULE = """\
from decimal import Decimal

from exchange.cases.asked import Because, Conclusion


def finding(facts):
    wages = [fact for fact in facts.facts if fact.item == "wages"]
    cars = [fact.answer.question_id for fact in facts.facts if fact.content.get("cars")]
    total = sum(Decimal(fact.content.get("total", "0")) for fact in wages)
    reasons = [Because("They own a <car> & more.", cars)] if cars else []
    reasons.append(Because(f"Their wages are {total}.", [wage.answer.question_id for wage in wages]))
    outcome = "ineligible" if cars else "eligible"
    return Conclusion(outcome, reasons, {"total": str(total), "spared": "250.50" if cars else "0.00"})
"""


class CaseOffice(World):
    """A world whose types are in files, and the command line on them."""

    def __init__(self, folder: Path, connector: str = CONNECTOR, case_type: str = CASE_TYPE) -> None:
        self.folder = folder
        self.own = folder / "connectors" / OFFICE
        (self.own / "cases").mkdir(parents=True)
        (self.own / "connector.yaml").write_text(connector, "utf-8")
        (self.own / "cases" / "household.yaml").write_text(case_type, "utf-8")
        (self.own / "cases" / "household.py").write_text(RULE, "utf-8")
        super().__init__(f"sqlite:///{self.own / 'office.db'}")
        known = types(self.own, NOW.date())
        self.engine = CaseEngine(OFFICE, self.store, known, Calendar(), {each: table_of(each) for each in ASKED})
        self.acts = CaseActs(self.store, known)

    def run(self, command: str, *words: str, text: str = "") -> Result:
        """A command of `exchange case` for the office, by the person `li`; `text` comes on standard input."""
        settings: dict[str, Any] = {
            "EXCHANGE_CONNECTORS": str(self.folder / "connectors"),
            "EXCHANGE_CONTRACT": str(self.folder / "topics.yaml"),
            "EXCHANGE_HOME": str(self.folder / "home"),
            "EXCHANGE_OPERATOR": "li",
        }
        return CliRunner().invoke(exchange, ["case", command, OFFICE, *words], env=settings, input=text)
