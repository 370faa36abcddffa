"""A register whose rows change, what a reader makes of its inbox, and what its grant gives, by a model of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from exchange.contract.key import name_schema
from exchange.contract.model import Epoch
from exchange.names import ROW_HEADER
from exchange.schema import avro
from tests.rigs.routing import NEW, SCHEMAS, Headers, value, wire

KEY = ("id", "year")
_POSITIVE = {"cents": {"ge": 0}}
GRANTS: Mapping[str, Mapping[str, Any]] = {
    "whole": {},
    "whole-2": {},
    "filtered": {"where": _POSITIVE},
    "cut": {"fields": ("id", "year", "district"), "where": _POSITIVE},
    "no-year": {"fields": ("id", "cents"), "where": _POSITIVE},
    "hidden": {"fields": ("id", "year", "cents"), "masks": {"id": "pseudonym"}},
    "no-id": {"fields": ("year", "cents"), "where": {"district": {"prefix": "44"}}},
}
"""Grants by name, with what they give; each has a reader of that name."""
CLEAR = ("whole", "whole-2", "filtered", "cut", "another")
"""The readers that get the key in clear."""
NAME = name_schema(SCHEMAS[NEW], KEY)
Record = Mapping[str, Any]
Row = tuple[str, int]
Change = tuple[str, Row, Record]
"""`put`, `delete` or `end` (of the entity), the row, and its other fields."""
Published = tuple[bytes, bytes | None, Headers]
"""Key, value and headers of a record."""


def passes(reader: str, record: Record) -> bool:
    """Whether the reader's grant gives the record."""
    if reader in ("filtered", "cut", "no-year"):
        return bool(record["cents"] >= 0)
    return reader != "no-id" or (record["district"] or "").startswith("44")


@dataclass
class Register:
    """A department's table."""

    rows: dict[Row, Record] = field(default_factory=dict)

    def change(self, change: Change) -> Published:
        """Change a row, and return the record that says so."""
        kind, row, rest = change
        key = row[0].encode()
        if kind == "put":
            self.rows[row] = {"id": row[0], "year": row[1], "note": "n", **rest}
            return key, value(NEW, **self.rows[row]), []
        if kind == "delete":
            self.rows.pop(row, None)
            return key, None, [(ROW_HEADER, wire(NEW, dict(zip(KEY, row, strict=True)), NAME))]
        self.rows = {each: record for each, record in self.rows.items() if each[0] != row[0]}
        return key, None, []


class Copies:
    """What the readers of an epoch's grants have."""

    def __init__(self, epoch: Epoch) -> None:
        schemas = {schema_id: avro.parse(text) for schema_id, text in epoch.schemas.items()}
        self._of = {grant.reader: Copy(grant.reader, schemas) for grant in epoch.contract.grants}

    def take(self, reader: str, records: Iterable[tuple[bytes | None, bytes | None, Headers]]) -> None:
        """Take in records of the reader's inbox: keys, values and headers."""
        for record in records:
            self._of[reader].take(*record)

    def of(self, reader: str) -> Mapping[Row, Record]:
        """What a reader that gets the key in clear has."""
        return self._of[reader].rows

    def check(self, register: Register, passes: Callable[[str, Record], bool] = passes) -> None:
        """Every reader has exactly what its grant gives of the register's rows."""
        for reader, copy in self._of.items():
            wanted = {row: record for row, record in register.rows.items() if passes(reader, record)}
            if reader in CLEAR:
                assert sorted(copy.rows) == sorted(wanted), reader
            shown = "district" if reader == "cut" else "cents"
            had, due = ([str(r[shown]) for r in rows.values()] for rows in (copy.rows, wanted))
            assert sorted(had) == sorted(due), reader


@dataclass
class Copy:
    """What one reader has: rows by their key, or by their handle."""

    reader: str
    schemas: Mapping[int, avro.Schema]
    rows: dict[Any, Record] = field(default_factory=dict)

    def take(self, key: bytes | None, body: bytes | None, headers: Headers) -> None:
        """Take in one record; it fails if it tells of a row that the reader does not have."""
        row = dict(headers).get(ROW_HEADER)
        if body is not None:
            record = avro.decode(self.schemas[int.from_bytes(body[1:5], "big")], body[5:])
            self.rows[(record["id"], record["year"]) if self.reader in CLEAR else row] = record
            return
        name = tuple(avro.decode(NAME, row[5:]).values()) if row and self.reader in CLEAR else row
        gone = [name] if row else [each for each in self.rows if each[0] == (key or b"").decode()]
        assert gone, f"{self.reader} learns of an entity of which it has nothing"
        for each in gone:
            assert each in self.rows, f"{self.reader} learns of a row that it does not have"
            del self.rows[each]
