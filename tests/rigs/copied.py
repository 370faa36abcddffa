"""Rows as a source gets them from PostgreSQL's COPY, without a PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
from psycopg.adapt import AdaptersMap

from exchange.connect import postgres
from exchange.connect.assembly import Assembly
from exchange.connect.config import SourceConfig
from exchange.connect.copied import CopiedRows
from exchange.connect.database import Paths
from exchange.connect.publish import Encoder
from exchange.connect.soft_delete import deletes
from exchange.connect.text_rows import LoadedColumns
from exchange.contract.model import Entity, Rounding, Subject, Title
from exchange.records.text_table import parse
from exchange.schema.avro import Schema

_CONTEXT: Any = SimpleNamespace(adapters=AdaptersMap(psycopg.adapters), connection=None)
postgres.tolerate(_CONTEXT.adapters)
_ESCAPES = {b"\\": b"\\\\", b"\t": b"\\t", b"\n": b"\\n", b"\r": b"\\r", b"\b": b"\\b", b"\f": b"\\f", b"\v": b"\\v"}


def written(text: bytes | None) -> bytes:
    """The text as COPY writes it."""
    if text is None:
        return b"\\N"
    return b"".join(_ESCAPES.get(bytes([byte]), bytes([byte])) for byte in text)


def copied(types: Sequence[str], rows: Sequence[Sequence[bytes | None]], config: SourceConfig) -> CopiedRows:
    """Rows whose columns f0, f1 … are of these types."""
    data = b"".join(b"\t".join(map(written, row)) + b"\n" for row in rows)
    names = [f"f{number}" for number in range(len(types))]
    layout = LoadedColumns.of(_CONTEXT, names, [_CONTEXT.adapters.types[name].oid for name in types])
    table = parse(data, len(rows), len(types))
    assert [table.row(index) for index in range(len(rows))] == [list(row) for row in rows]
    deleted = None if config.deleted is None else config.deleted.column
    return CopiedRows(layout, table, deletes(config.deleted), deleted, "read a.b")


def encoder(
    config: SourceConfig, schema: Schema, entity: str, key: tuple[str, ...], rounded: dict[str, Rounding]
) -> Encoder:
    """The encoder of the subject a.b, as a connector has it."""
    subject = Subject(
        name="b", owner="a", title=Title(zh="表", en="Table"), schema="x.avsc", share="open",
        entity=Entity(field=entity, kind="person"), key=key, rounded=rounded,
    )  # fmt: skip
    return Assembly(Paths(Path(), Path()), None).encoder(config, subject, 7, schema)
