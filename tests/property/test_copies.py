"""What readers hold of a subject with a key: after any history, what their grants give of its rows now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange import names
from exchange.contract.key import name_schema
from exchange.contract.model import Epoch
from exchange.names import ROW_HEADER
from exchange.records.scan import scan
from exchange.router.held import HeldRows
from exchange.schema import avro
from tests.rigs.routing import NEW, SCHEMAS, SUBJECT, Routed, Written, batch, epoch, grant, route, value, wire

KEY = ("id", "year")
WHERE = {"cents": {"ge": 0}}
GRANTS = (
    grant("whole"),
    grant("whole-2"),
    grant("filtered", where=WHERE),
    grant("cut", fields=("id", "year", "district"), where=WHERE),
    grant("no-year", fields=("id", "cents"), where=WHERE),
    grant("hidden", fields=("id", "year", "cents"), masks={"id": "pseudonym"}),
    grant("no-id", fields=("year", "cents"), where={"district": {"prefix": "44"}}),
)
CLEAR = ("whole", "whole-2", "filtered", "cut")
NAME = name_schema(SCHEMAS[NEW], KEY)
HOLDINGS = names.holdings_topic(SUBJECT)
Record = Mapping[str, Any]
Row = tuple[str, int]


def passes(reader: str, record: Record) -> bool:
    """Whether the reader's grant gives the record, by a model that knows nothing of the router."""
    if reader in ("filtered", "cut", "no-year"):
        return bool(record["cents"] >= 0)
    return reader != "no-id" or (record["district"] or "").startswith("44")


@dataclass
class Copy:
    """What one reader has: rows by their key, or by their handle."""

    reader: str
    rows: dict[Any, Record] = field(default_factory=dict)

    def take(self, written: Written) -> None:
        _, key, body, headers = written
        row = dict(headers).get(ROW_HEADER)
        if body is not None:
            record = self.decoded(body)
            self.rows[(record["id"], record["year"]) if self.reader in CLEAR else row] = record
        elif row is None:
            assert self.reader in CLEAR
            gone = [each for each in self.rows if each[0] == (key or b"").decode()]
            assert gone, "it learns of an entity of which it has nothing"
            for each in gone:
                del self.rows[each]
        else:
            name = tuple(avro.decode(NAME, row[5:]).values()) if self.reader in CLEAR else row
            assert name in self.rows, "it learns of a row that it never had"
            del self.rows[name]

    def decoded(self, body: bytes) -> Record:
        schema_id = int.from_bytes(body[1:5], "big")
        return avro.decode(self.schemas[schema_id], body[5:])

    schemas: dict[int, avro.Schema] = field(default_factory=dict)


class City:
    """The source's table, the router's memory, and a copy for each grant."""

    def __init__(self, under: Epoch) -> None:
        self.epoch = under
        self.held = HeldRows()
        self.table: dict[Row, Record] = {}
        schemas = {schema_id: avro.parse(text) for schema_id, text in under.schemas.items()}
        self.copies = {g.id: Copy(g.id, schemas=schemas) for g in under.contract.grants}
        self.kept: list[list[Written]] = []
        self.offset = 0

    def written(self, changes: list[Any]) -> list[Written]:
        """The changes as records, done to the table too."""
        records: list[Written] = []
        for kind, row, rest in changes:
            key = row[0].encode()
            if kind == "put":
                record = {"id": row[0], "year": row[1], "note": "n", **rest}
                self.table[row] = record
                records.append((0, key, value(NEW, **record), []))
            elif kind == "delete":
                self.table.pop(row, None)
                records.append((0, key, None, [(ROW_HEADER, wire(NEW, dict(zip(KEY, row, strict=True)), NAME))]))
            else:
                self.table = {each: record for each, record in self.table.items() if each[0] != row[0]}
                records.append((0, key, None, []))
        return records

    def route(self, records: list[Written]) -> Routed:
        made = route(self.epoch, [batch(records, base_offset=self.offset)], held=self.held)
        return made

    def commit(self, made: Routed, records: list[Written]) -> None:
        self.offset += len(records)
        self.kept.append(made.inboxes.pop(HOLDINGS, []))
        for topic, got in made.inboxes.items():
            for each in got:
                self.copies[topic.split(".")[1]].take(each)

    def restart(self) -> None:
        """The router starts anew, with what the holdings topic has."""
        self.held = HeldRows()
        for records in self.kept:
            if records:
                self.held.load(scan([batch(records)]))

    def check(self) -> None:
        for reader, copy in self.copies.items():
            wanted = [record for record in self.table.values() if passes(reader, record)]
            assert len(copy.rows) == len(wanted), reader
            if reader in CLEAR:
                assert copy.rows.keys() == {(r["id"], r["year"]) for r in wanted}, reader
            shown = [r["cents"] for r in wanted] if reader != "cut" else [r["district"] for r in wanted]
            assert sorted(map(str, shown)) == sorted(
                str(r["cents" if reader != "cut" else "district"]) for r in copy.rows.values()
            )


ROWS = st.tuples(st.sampled_from(["p", "q", "r"]), st.integers(2020, 2022))
FIELDS = st.fixed_dictionaries({"cents": st.integers(-2, 2), "district": st.sampled_from([None, "4401", "33"])})
CHANGES = st.tuples(st.sampled_from(["put", "put", "put", "delete", "end"]), ROWS, FIELDS)
RUNS = st.lists(
    st.tuples(st.lists(CHANGES, min_size=1, max_size=12), st.sampled_from(["", "fail", "restart"])), max_size=8
)


@settings(max_examples=150, deadline=None)
@given(RUNS)
def test_every_copy_is_what_its_grant_gives_now(runs: list[Any]) -> None:
    city = City(epoch(*GRANTS, key=KEY))
    for changes, event in runs:
        records = city.written(changes)
        if event == "fail":  # the transaction fails, and all is decided again
            city.route(records)
            city.restart()
        city.commit(city.route(records), records)
        if event == "restart":
            city.restart()
    city.check()


def test_what_left_is_withdrawn_only_from_those_that_had_it() -> None:
    city = City(epoch(*GRANTS, key=KEY))
    first = city.written(
        [
            ("put", ("p", 2020), {"cents": 1, "district": "33"}),
            ("put", ("q", 2020), {"cents": -1, "district": "33"}),
        ]
    )
    city.commit(city.route(first), first)
    second = city.written([("put", ("p", 2020), {"cents": -1, "district": "33"}), ("delete", ("q", 2020), {})])
    made = city.route(second)
    by_grant = {g: o for o in made.step.entry.outcomes for g in o.grants}
    assert [(w.reason, w.count) for w in by_grant["filtered"].withdrawn] == [("left", 1)]
    assert [(w.reason, w.count) for w in by_grant["filtered"].withheld] == [("tombstone", 1)]
    assert [(w.reason, w.count) for w in by_grant["whole"].withdrawn] == [("deleted", 1)]
    city.commit(made, second)
    city.check()


def test_without_the_memory_copies_are_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the property is for: it fails if the router forgets."""
    city = City(epoch(*GRANTS, key=KEY))
    for cents in (1, -1):
        records = city.written([("put", ("p", 2020), {"cents": cents, "district": None})])
        city.commit(city.route(records), records)
        city.held = HeldRows()
    with pytest.raises(AssertionError):
        city.check()
