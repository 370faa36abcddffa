"""Cases through SIGKILLs of whoever asks, answers and routes: each question is asked and answered once."""

from __future__ import annotations

import json
import random
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from exchange.bus import Cluster
from exchange.names import inbox_topic, subject_topic
from tests.broker.test_answering_across import Exchange
from tests.broker.test_case_across import with_cases
from tests.rigs import plain
from tests.rigs.answering import NAME, NUMBER
from tests.rigs.clients import librdkafka
from tests.rigs.daemons import Daemon, Killer
from tests.rigs.place import Place
from tests.rigs.plain import wait_until

CASES, KILLS = 40, 10
CONTESTED = 8
HEAD = "case_no,type,region,day,party_id,name,authorisation\n"
STREET = ("--role", "street-office", "--reason", "They said so.")


def rows(city: Exchange, sql: str) -> list[Any]:
    return city.run(city.asker, sql)


def states(city: Exchange) -> dict[str, str]:
    return dict(rows(city, "SELECT case_no, state FROM exchange_cases"))


def bring_in(city: Exchange, numbers: range) -> None:
    """Applications of two persons each."""
    path = city.folder / f"from-{numbers.start}.csv"
    with path.open("w") as lines:
        lines.write(HEAD)
        for n in numbers:
            case = f"K{n:03},household,4401,2026-01-15"
            lines.write(f"{case},{NUMBER},{NAME},A-1\n{case},S{n},{NAME},A-2\n")
            city.run(city.asked, "INSERT INTO resident VALUES (?, ?)", f"S{n}", NAME)
    city.command("case", "import", city.asker, str(path), "--role", "clerk")


@pytest.mark.siege
@pytest.mark.timeout(900)
def test_each_question_is_asked_and_answered_once_through_kills(
    own_cluster: Cluster, tmp_path: Path, unique: str
) -> None:
    with with_cases(own_cluster, tmp_path, unique) as city:
        _through_kills(city, own_cluster)


def _through_kills(city: Exchange, own_cluster: Cluster) -> None:
    place = Place(city.folder, own_cluster)
    asker, asked = (Daemon(place, one, ["connector", "run", one]) for one in (city.asker, city.asked))
    router = Daemon(place, "router", ["router", "run", "--instance", "1"])
    contested: list[str] = []
    with ExitStack() as stack:
        for daemon in (asker, asked, router):
            stack.callback(daemon.end)
            daemon.start()
        bring_in(city, range(CASES // 2))
        wait_until(lambda: "found" in states(city).values(), "the first finding", 120)  # all have started by then
        killers = [
            Killer([daemon], (0.0, 4.0), random.Random(n), lambda ds: all(d.kills >= KILLS for d in ds))
            for n, daemon in enumerate((asker, asked, router))
        ]
        for killer in killers:
            killer.start()
        bring_in(city, range(CASES // 2, CASES))
        while any(killer.is_alive() for killer in killers):
            for case_no in [each for each, state in states(city).items() if state == "found"]:
                if case_no not in contested and len(contested) < CONTESTED:
                    city.command("case", "object", city.asker, case_no, "--item", "wages", *STREET)
                    contested.append(case_no)
            for killer in killers:
                killer.join(0.5)
        assert [killer.fault for killer in killers] == [None] * len(killers)
        assert len(contested) == CONTESTED
        due = {each: "amended" if each in contested else "found" for each in states(city)}
        wait_until(lambda: states(city) == due, "every finding", 240)
        for daemon in (asker, asked, router):
            daemon.stop()

    assert len(due) == CASES
    events = Counter(kind for (kind,) in rows(city, "SELECT kind FROM exchange_case_events"))
    questions = 2 * (CASES + CONTESTED)
    assert events == {
        "opened": CASES,
        "asked": CASES + CONTESTED,
        "answered": questions,
        "found": CASES,
        "objected": CONTESTED,
        "amended": CONTESTED,
    }
    # A question keeps the last day that it was given when it was asked.
    days = {
        each["question_id"]: each["due_on"]
        for (body,) in rows(city, "SELECT body FROM exchange_case_events WHERE kind = 'asked'")
        for each in json.loads(body)["questions"]
    }
    assert dict(rows(city, "SELECT question_id, due_on FROM exchange_questions")) == days
    assert len(days) == questions
    said = city.command("case", "verify", city.asker)
    assert said.endswith(f"{CASES + CONTESTED} findings made again\n")
    question, answer = f"{city.asker}.question", f"{city.asked}.answer"
    client = librdkafka(own_cluster)
    for topic in (
        *(subject_topic(subject) for subject in (question, answer)),
        inbox_topic(city.asked, question),
        inbox_topic(city.asker, answer),
    ):
        values = [record.value for record in plain.read(client, topic)]
        assert len(set(values)) == len(values) == questions, topic
