"""A sink whose inbox holds given batches, without Kafka: what it makes of them, by columns or row by row."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

from exchange.connect import sink
from exchange.connect.delivered import Delivered
from exchange.connect.rejects import RejectFile
from exchange.connect.schemas import UnknownSchemaError
from exchange.connect.sink import Sink, Taken
from exchange.connect.sink_table import SinkTable
from exchange.contract.model import Subject
from exchange.names import inbox_topic
from exchange.records.build import Values, encode_headers, join
from exchange.records.header import RawBatch, parse
from exchange.schema.avro import Schema

SUBJECT = Subject.model_validate(
    {
        "name": "car",
        "owner": "police",
        "title": {"zh": "车", "en": "Car"},
        "schema": "x.avsc",
        "entity": {"field": "id", "kind": "organisation"},
        "share": "open",
        "topic": {"partitions": 2},
    }
)
TOPIC = inbox_topic("tax", SUBJECT.id)
BY_ROWS, BY_COLUMNS = 1 << 40, 1
"""For `sink.FEW`."""


class Sent(NamedTuple):
    """A record of an inbox."""

    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes] = {}
    time_ms: int = 0


class Inbox:
    """Stands in for a consumer: each poll returns one of the batches."""

    def __init__(self, records: Mapping[int, Sequence[Sent]], at_once: int) -> None:
        self._batches: list[RawBatch] = []
        for partition, sent in records.items():
            for first in range(0, len(sent), at_once):
                self._batches += _batches(partition, first, sent[first : first + at_once])
        self._place: dict[int, int] = {}

    def __call__(self, _cluster: object, *, fetch_bytes: int) -> Inbox:
        return self

    def partitions(self, _topic: str) -> list[int]:
        return list(range(SUBJECT.topic.partitions))

    def topic_ids(self, _topics: object) -> dict[str, str]:
        return {}

    def assign(self, places: Mapping[tuple[str, int], int], _ids: object) -> None:
        self._place = {partition: at for (_, partition), at in places.items()}

    def poll(self, _timeout_s: float) -> list[RawBatch]:
        found = [b._replace(from_offset=self._place[b.partition]) for b in self._batches]
        self._batches = []
        return [batch for batch in found if batch.header.next_offset > batch.from_offset]

    def positions(self) -> dict[tuple[str, int], tuple[int, int]]:
        return {}

    def collect(self, _wait_s: float) -> None:
        pass

    def close(self) -> None:
        pass


def _batches(partition: int, first: int, sent: Sequence[Sent]) -> list[RawBatch]:
    made = join(
        Values.of([each.key for each in sent]),
        Values.of([each.value for each in sent]),
        np.array([each.time_ms for each in sent], np.int64),
        np.arange(len(sent)),
        headers=Values.of([encode_headers(each.headers) for each in sent]),
    )
    found = []
    for batch in made:
        data = first.to_bytes(8, "big") + bytes(batch.data)[8:]
        found.append(RawBatch(TOPIC, partition, parse(data), memoryview(data), 0))
        first += found[-1].header.records
    return found


class TakenIn(NamedTuple):
    """What came of it: counts, rejected places with their reasons, and whether the terms had to be confirmed."""

    counts: Taken
    rejected: list[tuple[str, str]]
    confirmed: bool


def take_in(
    table: SinkTable,
    delivered: Delivered,
    schemas: Mapping[int, Schema],
    records: Mapping[int, Sequence[Sent]],
    folder: Path,
    *,
    few: int,
    at_once: int = 10_000,
    batch: int = 7,
) -> TakenIn:
    """Let a sink take all of it in, in parts of `at_once`, from batches of at most `batch` records."""
    rejects, confirmed = RejectFile(folder, table._name), [False]
    rejects.path.unlink(missing_ok=True)

    def schema_of(schema_id: int) -> Schema:
        if schema_id not in schemas:
            raise UnknownSchemaError("not registered")
        return schemas[schema_id]

    def confirm() -> None:
        confirmed[0] = True

    is_new = table.fit(delivered.schema)
    counts = np.zeros(3, int)
    with _patched(few, at_once, Inbox(records, batch)):
        made: Any = Sink(None, "tax", SUBJECT, table, delivered, confirm, schema_of, rejects, is_new_table=is_new)  # type: ignore[arg-type]
        made._at_once = at_once
        while any(taken := made.step(0)) or made._waiting:
            counts += taken
        made.close()
    lines = rejects.path.read_text().splitlines() if rejects.path.exists() else []
    found = [(line["place"], line["reason"]) for line in map(json.loads, lines)]
    return TakenIn(Taken(*counts.tolist()), sorted(found), confirmed[0])


@contextmanager
def _patched(few: int, at_once: int, inbox: Inbox) -> Any:
    with (
        mock.patch.object(sink, "FEW", few),
        mock.patch.object(sink, "AT_ONCE", at_once),
        mock.patch.object(sink, "Consumer", inbox),
    ):
        yield
