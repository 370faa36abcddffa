"""Finds the entries about one entity: indexes the tags of their records in `ledger_tags`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sqlalchemy import Connection, insert, select, update

from exchange.errors import TransientError
from exchange.ledger import tables

GENERATION_ROWS = 4_000_000
"""Tags are inserted in random order; a generation of at most this many rows stays in the database's cache."""
_COPY_HEADER, _COPY_TRAILER = b"PGCOPY\n\xff\r\n\0" + bytes(8), b"\xff\xff"


class TagIndexError(TransientError):
    """The ledger's database did not accept the index."""

    code = "ledger-tag-index"
    remedy = "wait: the follower tries it again"


def add(connection: Connection, entries: Sequence[tuple[int, bytes]]) -> None:
    """Index the tags that these entries (by id) hold; records without a key are about nobody and get no row."""
    found = [(id_, distinct_tags(tags)) for id_, tags in entries]
    if not sum(len(tags) for _, tags in found):
        return
    tags = np.concatenate([tags for _, tags in found])
    ids = np.repeat(np.array([id_ for id_, _ in found], np.int64), [len(tags) for _, tags in found])
    order = np.argsort(tags, kind="stable")
    _copy_tags(connection, _generation(connection, len(tags)), tags[order], ids[order])


def tag_prefix(tag: bytes) -> int:
    """The part of a tag by which `ledger_tags` finds it."""
    return int.from_bytes(tag[:8], "big", signed=True)


def distinct_tags(tags: bytes) -> np.ndarray:
    """The first 8 bytes of every distinct tag of an entry, as sorted int64, without null tags."""
    halves = np.frombuffer(tags, ">i8").reshape(-1, 2)
    return np.unique(halves[halves.any(axis=1), 0].astype(np.int64))


def _generation(connection: Connection, rows: int) -> int:
    t = tables.generations
    newest = connection.execute(select(t).order_by(t.c.generation.desc()).limit(1)).first()
    if newest is not None and newest.rows < GENERATION_ROWS:
        here = t.c.generation == newest.generation
        connection.execute(update(t).where(here).values(rows=newest.rows + rows))
        return int(newest.generation)
    number = 0 if newest is None else newest.generation + 1
    connection.execute(insert(t).values(generation=number, rows=rows))
    return number


def _copy_tags(connection: Connection, generation: int, tags: np.ndarray, ids: np.ndarray) -> None:
    """Insert index rows, in the fastest way that each database offers."""
    if connection.dialect.name != "postgresql":
        rows = list(zip([generation] * len(tags), tags.tolist(), ids.tolist(), strict=True))
        connection.exec_driver_sql("INSERT INTO ledger_tags (generation, tag, entry_id) VALUES (?, ?, ?)", rows)
        return
    # The binary COPY format: each row is its number of columns, then each column after its length.
    packed = np.empty(len(tags), [("columns", ">i2"), ("g_length", ">i4"), ("g", ">i2"), ("tag_length", ">i4"),
                                  ("tag", ">i8"), ("id_length", ">i4"), ("id", ">i8")])  # fmt: skip
    packed["columns"], packed["g_length"], packed["tag_length"], packed["id_length"] = 3, 2, 8, 8
    packed["g"], packed["tag"], packed["id"] = generation, tags, ids
    cursor: Any = connection.connection.cursor()
    try:
        with cursor.copy("COPY ledger_tags (generation, tag, entry_id) FROM STDIN (FORMAT BINARY)") as copy:
            copy.write(_COPY_HEADER + packed.tobytes() + _COPY_TRAILER)
    except connection.dialect.loaded_dbapi.Error as error:
        raise TagIndexError("the ledger's database refuses the record index") from error
    finally:
        cursor.close()
