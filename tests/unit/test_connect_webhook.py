"""Events that a sink sends to a real web address: signed, in order, again after a failure, and set aside if refused."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError

from exchange.connect.config import Database, SinkConfig
from exchange.connect.database import Paths, engine
from exchange.connect.row_change import RecordOrigin, Refused, RowChange
from exchange.connect.sink_layout import TableMismatchError
from exchange.connect.sink_values import UnstorableError
from exchange.connect.web.errors import WebRefusedError
from exchange.connect.web.signed_events import Hook
from exchange.connect.web.webhook import HookTable
from exchange.gap import Gap
from tests.rigs.sinks import PLAIN, row, schema
from tests.rigs.web import Reply, Web, serving

TOPIC = "inbox.tax.civil.household"
SECRET = "whsec_" + base64.b64encode(b"a secret of the test").decode()


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as made:
        yield made


class Sending:
    """A sink's table that sends to the service, and what it set aside."""

    def __init__(self, web: Web, folder: Path, said: str = SECRET) -> None:
        (folder / "secret").write_text(said)
        paths = Paths(folder, folder)
        config = SinkConfig.model_validate(
            {"subject": "civil.household", "webhook": {"url": f"{web.url}/hook", "secret_file": "secret"}}
        )
        assert config.webhook is not None
        hook = Hook(config.webhook, paths, config.subject, clock=lambda: 1_700_000_000.5)
        offsets = engine(Database(url=f"sqlite:///{folder / 'webhooks' / 'x.db'}"), paths, writes=True)
        self.web, self.table = web, HookTable(offsets, ("id",), "id", hook)
        self.aside: list[tuple[int, str]] = []

    def changes(self, *numbers: int, start: int = 0) -> list[RowChange]:
        return [
            self.table.upsert(PLAIN, row(number), RecordOrigin(0, at, 1_700_000_000_000))
            for at, number in enumerate(numbers, start)
        ]

    def apply(self, changes: list[RowChange]) -> Refused:
        def set_aside(refused: Refused) -> None:
            self.aside += [(origin.offset, reason) for origin, reason in refused]

        [start] = self.table.offsets(TOPIC, [0]).values()
        return self.table.apply(TOPIC, changes, {0: (start, start + len(changes))}, set_aside)

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(asked.body) for asked in self.web.asked]


def test_an_event_has_the_row_and_a_signature(web: Web, tmp_path: Path) -> None:
    sending = Sending(web, tmp_path)
    assert sending.apply(sending.changes(7)) == []
    [asked] = web.asked
    assert json.loads(asked.body) == {
        "specversion": "1.0",
        "id": f"{TOPIC}/0/0",
        "source": "urn:exchange:civil.household",
        "type": "exchange.row.changed",
        "subject": "civil.household",
        "time": "2023-11-14T22:13:20.000Z",
        "datacontenttype": "application/json",
        "data": {"id": "id-7", "note": "fine", "n": 7},
    }
    assert (asked.method, asked.path) == ("POST", "/hook")
    assert asked.headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    signed = f"{asked.headers['webhook-id']}.{asked.headers['webhook-timestamp']}.".encode() + asked.body
    mac = base64.b64encode(hmac.new(b"a secret of the test", signed, hashlib.sha256).digest()).decode()
    assert asked.headers["webhook-signature"] == f"v1,{mac}"
    assert asked.headers["webhook-timestamp"] == "1700000000"
    assert sending.table.offsets(TOPIC, [0]) == {0: 1}


def test_values_that_json_lacks_are_text(web: Web, tmp_path: Path) -> None:
    sending = Sending(web, tmp_path)
    value = {
        "sum": Decimal("1E+3"),
        "day": date(2025, 1, 2),
        "at": datetime(2025, 1, 2, tzinfo=UTC),
        "clock": time(1, 2),
        "raw": b"\1",
        "uid": UUID(int=1),
        "name": "穗",
    }
    sending.apply([RowChange(value, RecordOrigin(0, 0, 0))])
    assert sending.events()[0]["data"] == {
        "sum": "1000",
        "day": "2025-01-02",
        "at": "2025-01-02T00:00:00Z",
        "clock": "01:02:00",
        "raw": "AQ==",
        "uid": "00000000-0000-0000-0000-000000000001",
        "name": "穗",
    }


def test_withdrawals_and_replays_say_so(web: Web, tmp_path: Path) -> None:
    sending = Sending(web, tmp_path)
    gone = [
        sending.table.withdraw(PLAIN, {"id": "id-1"}, RecordOrigin(0, 0, 0)),
        sending.table.delete(b"id-2", RecordOrigin(0, 1, 0, "again")),
    ]
    sending.apply(gone)
    assert [(e["type"], e["data"], e.get("replay")) for e in sending.events()] == [
        ("exchange.row.withdrawn", {"id": "id-1"}, None),
        ("exchange.row.withdrawn", {"id": "id-2"}, "again"),
    ]
    with pytest.raises(UnstorableError):
        sending.table.delete(b"\xff", RecordOrigin(0, 2, 0))


def test_after_a_failure_it_goes_on_behind_what_was_accepted(web: Web, tmp_path: Path) -> None:
    sending = Sending(web, tmp_path)
    web.answer = lambda asked: Reply(b"", 401 if len(web.asked) == 4 else 200)
    with pytest.raises(WebRefusedError, match="answers 401"):
        sending.apply(sending.changes(*range(6)))
    assert sending.table.offsets(TOPIC, [0]) == {0: 0}
    sending = Sending(web, tmp_path)
    sending.apply(sending.changes(*range(6)))
    assert [event["data"]["n"] for event in sending.events()] == [0, 1, 2, 3, 3, 4, 5]
    assert sending.table.offsets(TOPIC, [0]) == {0: 6}
    sending.apply(sending.changes(6, start=6))
    assert sending.events()[-1]["id"] == f"{TOPIC}/0/6"


def test_after_a_failure_it_repeats_nothing_if_it_takes_in_smaller_parts(web: Web, tmp_path: Path) -> None:
    sending = Sending(web, tmp_path)
    web.answer = lambda asked: Reply(b"", 401 if len(web.asked) == 5 else 200)
    with pytest.raises(WebRefusedError, match="answers 401"):
        sending.apply(sending.changes(*range(6)))
    sending.apply(sending.changes(0, 1))
    sending.apply(sending.changes(2, 3, 4, 5, start=2))
    assert [event["data"]["n"] for event in sending.events()] == [0, 1, 2, 3, 4, 4, 5]


def test_a_topic_that_was_created_again_gets_all_its_records(web: Web, tmp_path: Path) -> None:
    sending = Sending(web, tmp_path)
    web.answer = lambda asked: Reply(b"", 401 if len(web.asked) == 3 else 200)
    with pytest.raises(WebRefusedError, match="answers 401"):
        sending.apply(sending.changes(*range(4)))
    gap = Gap(topic=TOPIC, partition=0, first=0, next=0, cause="recreated", topic_id="another")
    sending.table.pass_over([gap], "li", "made again", datetime.now(UTC))
    sending.apply(sending.changes(*range(4)))
    assert [event["data"]["n"] for event in sending.events()] == [0, 1, 2, 0, 1, 2, 3]


def test_a_record_that_is_refused_is_set_aside_without_its_content(web: Web, tmp_path: Path) -> None:
    sending = Sending(web, tmp_path)
    web.answer = lambda asked: Reply(asked.body, 422 if b"id-1" in asked.body else 200)
    refused = sending.apply(sending.changes(0, 1, 2))
    assert [(origin.offset, reason) for origin, reason in refused] == [(1, "the webhook answers 422")]
    assert sending.aside == [(1, "the webhook answers 422")]
    assert sending.table.offsets(TOPIC, [0]) == {0: 3}


def test_a_record_is_set_aside_in_the_reject_file_or_comes_again(web: Web, tmp_path: Path) -> None:
    sending = Sending(web, tmp_path)
    web.answer = lambda asked: Reply(b"", 422 if b"id-1" in asked.body else 403 if b"id-3" in asked.body else 200)
    with pytest.raises(WebRefusedError):
        sending.apply(sending.changes(0, 1, 2, 3))
    web.answer = lambda asked: Reply(b"", 422 if b"id-1" in asked.body else 200)
    sending.apply(sending.changes(0, 1, 2, 3))
    assert sending.aside == [(1, "the webhook answers 422")]
    assert [event["data"]["n"] for event in sending.events()] == [0, 1, 2, 3, 1, 2, 3]


def test_the_end_of_a_grant_and_of_fields_are_events(web: Web, tmp_path: Path) -> None:
    sending = Sending(web, tmp_path)
    sending.table.offsets(TOPIC, [0])
    copy = sending.table.copy(TOPIC)
    copy.hold("g", date(2025, 12, 31), ["id", "n"], ["id"], epoch=1, deletes=True)
    copy.hold("g", date(2025, 12, 31), ["id"], ["id"], epoch=1, deletes=True)
    copy.end("g", date(2025, 12, 31), deletes=True, since=1.0)
    assert copy.count() is False
    assert copy.delete_some() == 0
    web.answer = lambda asked: Reply(b"", 404)
    with pytest.raises(WebRefusedError):
        copy.finish()
    note = copy.note()
    assert note is not None
    assert note.is_due, "until the address has accepted it, the deletion is not done"
    web.answer = lambda asked: Reply()
    assert copy.finish()
    assert [(event["type"], event["data"]) for event in sending.events()] == [
        ("exchange.fields.withdrawn", {"fields": ["n"]}),
        ("exchange.grant.ended", {"grant": "g", "until": "2025-12-31"}),
        ("exchange.grant.ended", {"grant": "g", "until": "2025-12-31"}),
    ]
    assert sending.events()[1]["id"] == sending.events()[2]["id"]


def test_what_cannot_work_is_said(web: Web, tmp_path: Path) -> None:
    with pytest.raises(TableMismatchError, match="has no id"):
        Sending(web, tmp_path).table.fit(schema(n="long"))
    for said in ("", "whsec_not base64"):
        with pytest.raises(WebRefusedError, match="secret"):
            Sending(web, tmp_path, said)
    webhook = {"url": "https://x", "secret_file": "s"}
    with pytest.raises(ValidationError, match="`webhook` goes without `table`"):
        SinkConfig.model_validate({"subject": "a.b", "webhook": webhook, "table": "t"})
