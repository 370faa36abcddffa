"""Sources and sinks over HTTP, with a real Kafka and real web servers, through kills."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest

from exchange.connect import load
from exchange.connect.check import check
from exchange.connect.database import Paths
from exchange.connect.web.errors import WebRefusedError
from exchange.contract.load import load as load_contract
from exchange.document.problem import Problem
from exchange.names import inbox_topic
from tests.broker.test_connect_sink import connector as reading
from tests.broker.test_connect_sink import rejected
from tests.rigs.deliveries import Sent, deliver, drain, income, row_name, send
from tests.rigs.income_table import KEY, command, history
from tests.rigs.plain import wait_until
from tests.rigs.project import Project
from tests.rigs.web import Asked, Reply, Web, serving

KILLS = 20


def published(project: Project) -> int:
    """How many records were published."""
    return sum(map(len, history(project).values()))


def publish(project: Project) -> None:
    drain(project, project.owner)


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as made:
        yield made


def hook(project: Project, web: Web) -> None:
    """A reader whose sink sends to the service."""
    project.key = KEY
    project.apply()
    folder = project.connector(
        project.reader, sinks=[{"subject": project.subject, "webhook": {"url": web.url, "secret_file": "secret"}}]
    )
    (folder / "secret").write_text("a secret")


def events(web: Web) -> list[dict[str, Any]]:
    return [json.loads(asked.body) for asked in web.asked]


def problems(project: Project, department: str) -> list[Problem]:
    connector = load.load(project.folder / "connectors", department)
    contract = load_contract(project.folder / "topics.yaml", date(2026, 1, 1))
    return check(connector, contract, Paths(connector.folder, project.home))


def test_a_webhook_gets_rows_and_withdrawals_and_refuses_some(project: Project, web: Web) -> None:
    hook(project, web)
    web.answer = lambda asked: Reply(b"", 422 if b"canary" in asked.body else 200)
    deliver(project, {0: [income(1), income(2, employer="canary-7f3a"), income(3)], 2: [income(4)]})
    drain(project)
    drain(project)
    send(project, Sent(income(1)[0], None, row_name(project, 1)), Sent(income(3)[0], None))
    drain(project)
    topic = inbox_topic(project.reader, project.subject)
    assert rejected(project) == [(f"{topic}/0 offset 1", "the webhook answers 422")]
    found = events(web)
    assert len({event["id"] for event in found}) == len(found) == 6
    assert [event["data"].get("serial") for event in found if event["id"].startswith(f"{topic}/0/")] == [
        1,
        2,
        3,
        1,
        None,
    ]
    assert [event["type"] for event in found[4:]] == ["exchange.row.withdrawn"] * 2
    assert found[0]["data"]["amount"] == "1234567890.10"
    assert found[0]["data"]["paid_on"] == "2025-02-28"
    assert problems(project, project.reader) == []
    (project.folder / "connectors" / project.reader / "secret").unlink()
    [error] = problems(project, project.reader)
    assert (error.path, error.message) == ("sinks[0].webhook", "secret cannot be read")


@pytest.mark.siege
def test_a_webhook_gets_every_record_in_order_through_kills(project: Project, web: Web) -> None:
    hook(project, web)
    serial = 0
    for _ in range(KILLS):
        deliver(project, {p: [income(serial + 4 * i + p) for i in range(200)] for p in range(4)})
        serial += 800
        before = len(web.asked)
        process = reading(project)
        wait_until(lambda before=before: len(web.asked) > before + 100, "some are sent", 180)  # type: ignore[misc]
        process.send_signal(signal.SIGKILL)
        process.wait()
    drain(project)
    sent = [event["data"]["serial"] for event in events(web)]
    assert set(sent) == set(range(serial))
    assert max(Counter(sent).values()) <= 1 + KILLS
    assert len(sent) <= serial + KILLS, "of what was accepted, a kill repeats one at most"
    for partition in range(4):
        mine = list(dict.fromkeys(each for each in sent if each % 4 == partition))
        assert mine == sorted(mine)


class Incomes:
    """An API whose rows are added while it is asked."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def add(self, count: int) -> None:
        for _ in range(count):
            _, row = income(len(self.rows))
            row |= {"amount": "12.50", "paid_on": "2025-02-28", "recorded_at": "2025-03-01T00:00:00Z"}
            self.rows.append({**row, "at": len(self.rows)})

    def answer(self, asked: Asked) -> Reply:
        since = int(asked.params.get("from", 0))
        return Reply([row for row in self.rows if row["at"] >= since][:50])


def pull(project: Project, web: Web, **http: Any) -> None:
    """An owner whose source pulls from the service."""
    project.apply(key=KEY)
    its = {"url": f"{web.url}/incomes", "since": {"param": "from", "field": "at"}, **http}
    source = {"subject": project.subject, "http": its, "page_rows": 20, "poll_s": 0.05}
    project.connector(project.owner, sources=[source])


@pytest.mark.siege
def test_kills_neither_lose_nor_repeat_pulled_rows(project: Project, web: Web) -> None:
    api = Incomes()
    web.answer = api.answer
    pull(project, web)
    for _ in range(KILLS):
        api.add(400)
        process = command(project)
        target = project.published() + 150
        wait_until(lambda target=target: project.published() >= target, "some are published", 180)  # type: ignore[misc]
        process.send_signal(signal.SIGKILL)
        process.wait()
    publish(project)
    found = history(project)
    assert {serial for _, serial in found} == set(range(400 * KILLS))
    assert set(map(tuple, found.values())) == {("row",)}


def test_a_full_pull_deletes_what_is_gone(project: Project, web: Web) -> None:
    api = Incomes()
    web.answer = lambda asked: Reply(api.rows)
    pull(project, web, mode="full", since=None)
    api.add(100)
    publish(project)
    del api.rows[3:8]
    api.rows[0]["year"] = 1999
    for _ in range(2):
        publish(project)
    found = history(project)
    assert sorted(serial for (_, serial), story in found.items() if story == ["row", "gone"]) == [3, 4, 5, 6, 7]
    assert sorted(serial for (_, serial), story in found.items() if story == ["row", "row"]) == [0]
    assert published(project) == 106


def test_check_asks_the_api_once(project: Project, web: Web) -> None:
    api = Incomes()
    api.add(3)
    web.answer = api.answer
    pull(project, web)
    assert problems(project, project.owner) == []
    api.rows[1]["year"] = "secret"
    [warning] = problems(project, project.owner)
    assert warning.message == "1 of the first 3 rows would be rejected: year: str where a whole number is due"
    web.answer = lambda asked: Reply(b"secret", 403)
    [error] = problems(project, project.owner)
    assert (error.path, error.severity) == ("sources[0].http", "error")
    assert error.message.endswith("answers 403")
    with pytest.raises(WebRefusedError):
        publish(project)
