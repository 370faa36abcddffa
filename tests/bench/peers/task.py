"""What a Python peer is told, and the record it makes of each view: fastavro decodes once, encodes once per view."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fastavro

WIRE_BYTES = 5
Delivery = tuple[list[str], bytes | None, bytes]
"""Inbox topics, key and value."""


@dataclass(frozen=True)
class Task:
    """The task file."""

    servers: str
    name: str
    folder: str
    source: str
    schema_id: int
    schema: str
    views: list[dict[str, Any]]

    @classmethod
    def from_arguments(cls) -> Task:
        """The task file that the first argument names."""
        return cls(**json.loads(Path(sys.argv[1]).read_text()))

    @property
    def head(self) -> bytes:
        """The first bytes of a granted value."""
        return _head(self.schema_id)

    @property
    def inboxes(self) -> list[str]:
        """Every topic that is written."""
        return [inbox for view in self.views for inbox in view["inboxes"]]

    @property
    def projects(self) -> bool:
        """Whether views make new values; else values pass whole, not decoded."""
        return any("schema" in view for view in self.views)

    def decoder(self) -> Callable[[bytes], Any]:
        """A function from a value to its record."""
        read, schema = fastavro.schemaless_reader, fastavro.parse_schema(json.loads(self.schema))
        return lambda value: read(io.BytesIO(value[WIRE_BYTES:]), schema, None)

    def deliver(self) -> Callable[[bytes | None, bytes], Iterator[Delivery]]:
        """A function that makes deliveries of a record's key and value."""
        head, inboxes = self.head, self.inboxes

        def whole(key: bytes | None, value: bytes) -> Iterator[Delivery]:
            if value[:WIRE_BYTES] == head:
                yield inboxes, key, value

        if not self.projects:
            return whole
        decode, views = self.decoder(), [(view, takes(view), encoder(view)) for view in self.views]

        def projected(key: bytes | None, value: bytes) -> Iterator[Delivery]:
            if value[:WIRE_BYTES] == head:
                record = decode(value)
                for view, passes, encode in views:
                    if passes(record):
                        yield view["inboxes"], key if view["keeps_key"] else None, encode(record)

        return projected


def _head(schema_id: int) -> bytes:
    return b"\0" + schema_id.to_bytes(4, "big")


def takes(view: dict[str, Any]) -> Callable[[dict[str, Any]], bool]:
    """The view's filter."""
    column, at_least = view["column"], view["at_least"]
    return lambda record: record[column] >= at_least


def encoder(view: dict[str, Any]) -> Callable[[dict[str, Any]], bytes]:
    """A function from a whole record to the view's value, masked."""
    head, schema = _head(view["schema_id"]), fastavro.parse_schema(json.loads(view["schema"]))
    write, masked, keeps = fastavro.schemaless_writer, view["masked"], view["keeps"]

    def encode(record: dict[str, Any]) -> bytes:
        if masked is not None:
            text = record[masked]
            shown = text[:keeps] if len(text) > keeps else ""
            record = record | {masked: shown.ljust(len(text), "*")}
        out = io.BytesIO(head)
        out.seek(WIRE_BYTES)
        write(out, schema, record)  # takes the schema's fields and leaves the others
        return out.getvalue()

    return encode
