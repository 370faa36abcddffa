"""A case of one department, from its application to the decision, with answers of another's connector."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from exchange.bus import Cluster
from tests.broker.test_answering_across import Exchange
from tests.rigs.answering import NAME, NUMBER
from tests.rigs.brokers import clear
from tests.rigs.office import Office
from tests.rigs.plain import wait_until

CASE_TYPE = """\
title: {{zh: 低保, en: Household}}
basis: Interim Measures 2014, art. 58
within: 18
decided_by: street-office
authorised: true
items:
  - name: wages
    asks: {asked}
    about: {{period: 12 months}}
    within: 5
    parameters: [limit]
    answer:
      total: {{shape: value, scale: 2}}
      months: {{shape: count}}
      over_limit: {{shape: predicate}}
      bracket: {{shape: range, values: [none, low, high]}}
parameters:
  - {{name: limit, region: "4401", from: 2020-01-01, value: "20160.00", basis: Notice 2020}}
rules:
  - {{from: 2020-01-01, python: household.py:finding, basis: Measures 2020}}
"""
RULE = """\
from exchange.cases.asked import Because, CaseFacts, Conclusion

def finding(facts: CaseFacts) -> Conclusion:
    over = [fact for fact in facts.facts if fact.content.get("over_limit")]
    asked = [fact.answer.question_id for fact in over or facts.facts]
    text = "Wages are over the limit." if over else "No wages are over the limit."
    return Conclusion("ineligible" if over else "eligible", [Because(text, asked)])
"""


@contextmanager
def with_cases(cluster: Cluster, folder: Path, name: str) -> Iterator[Exchange]:
    """Two departments, of which one has cases."""
    city = Exchange(folder, cluster, name)
    city.run(city.asker, "DROP TABLE exchange_questions")  # the department's cases make it
    cases = folder / "connectors" / city.asker / "cases"
    cases.mkdir()
    (cases / "household.yaml").write_text(CASE_TYPE.format(asked=city.asked))
    (cases / "household.py").write_text(RULE)
    yield city
    clear(cluster, name)


@pytest.fixture
def city(own_cluster: Cluster, tmp_path: Path, unique: str) -> Iterator[Exchange]:
    with with_cases(own_cluster, tmp_path, unique) as city:
        yield city


def shown(city: Exchange, case_no: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(city.command("case", "show", city.asker, case_no, "--output", "json"))
    return found


def test_a_case_from_its_application_to_the_decision(city: Exchange, own_cluster: Cluster, unique: str) -> None:
    applications = city.folder / "applications.csv"
    head = "case_no,type,region,day,party_id,name,authorisation\n"
    applications.write_text(f"{head}C1,household,4401,2026-01-15,{NUMBER},{NAME},A-1\n")
    with Office(own_cluster, unique).router(), city.connector(city.asker), city.connector(city.asked):
        clerk = ("case", "import", city.asker, str(applications), "--role", "clerk")
        assert city.command(*clerk) == "1 case opened, 0 there already, 0 refused\n"
        assert city.command(*clerk) == "0 cases opened, 1 there already, 0 refused\n"
        wait_until(lambda: shown(city, "C1")["state"] == "found", "the finding", 60)
        finding = shown(city, "C1")["finding"]
        assert finding["outcome"] == "eligible"
        [reason] = finding["reasons"]
        assert reason["text"] == "No wages are over the limit."
        assert reason["rests_on"] == [
            {"question_id": "C1/wages/1/1", "department": city.asked, "data_as_of": "2025-01-28"}
        ]

        street = ("--role", "street-office", "--reason", "They said so.")
        said = city.command("case", "object", city.asker, "C1", "--item", "wages", *street)
        assert said == "Case C1 is objected.\n"
        city.run(city.asked, "INSERT INTO income VALUES (?, '2025-02', '2025-02-28', 50000)", NUMBER)
        wait_until(lambda: shown(city, "C1")["state"] == "amended", "the amended finding", 60)
        assert shown(city, "C1")["finding"]["outcome"] == "ineligible"
        assert "C1/wages/1/2 of" in city.command("case", "show", city.asker, "C1")

        newest = ("--finding", str(shown(city, "C1")["finding_number"]))
        assert city.command("case", "decide", city.asker, "C1", "refused", *newest, *street) == "Case C1 is decided.\n"
    said = city.command("case", "verify", city.asker)
    assert said == "9 events as written, 2 findings made again\n"
    assert "household" in city.command("case", "list", city.asker, "--state", "decided")
    counted = json.loads(city.command("case", "statistics", city.asker, "--year", "2026", "--output", "json"))
    assert {f"{one['what']} {one['name']}".strip(): (one["cases"], one["persons"]) for one in counted} == {
        "accepted": (1, 1),
        "completed": (1, 1),
        "found ineligible": (1, 1),
        "decided refused": (1, 1),
    }
