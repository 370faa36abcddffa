"""After a source's `warm_up` no kernel is compiled any more, whatever rows it meets."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np

from exchange.connect.config import Cursor, SoftDelete, SourceConfig
from exchange.connect.copied import FetchedTable
from exchange.connect.source import Page
from exchange.records.build import join
from exchange.records.partition import partitions
from exchange.records.warm_up_source import warm_up
from exchange.schema import avro
from tests.rigs.copied import copied, encoder
from tests.unit.test_records_warm_up import compiled

_PROGRAM = "from tests.unit.test_records_warm_up_source import main; main()"
_FIELDS = [
    {"name": "f0", "type": "string"},
    {"name": "f1", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "f2", "type": ["null", {"type": "enum", "name": "E", "symbols": ["a"]}]},
    {"name": "missing", "type": "long", "default": 1},
]
_ROWS = [
    (b"a", b"2026-01-01 00:00:00", b"a"),
    (b"b", b"infinity", b"a"),
    (b"c", b"2026-01-01 00:00:00.5", b"gone"),
    (b"d", b"2026-01-01 00:00:01", None),
]


def meet_everything() -> None:
    """Pages of rows that fit, that do not, that are deleted, and that are all of these; in a zone, too."""
    schema = avro.parse(json.dumps({"type": "record", "name": "R", "fields": _FIELDS}))
    for zone in ("UTC", "Asia/Shanghai"):
        gone = SoftDelete(column="f2", values=("gone",))
        cursor = Cursor(time="f1", id="f0")
        config = SourceConfig(subject="a.b", table="t", cursor=cursor, deleted=gone, timezone=zone)
        writer = encoder(config, schema, "f0", ("f0",), {})
        for rows in (_ROWS[:1], _ROWS[1:2], _ROWS[2:], _ROWS):
            found = copied(["text", "timestamp", "text"], rows, config)
            FetchedTable(found, "f1", "f0")
            made = writer.encode(Page(found.at(np.arange(len(rows))), {}))
            target, stamps = partitions(made.keys, 3), np.zeros(len(made.rows), np.int64)
            join(made.keys, made.values, stamps, np.flatnonzero(target == target[:1].sum()), headers=made.headers)


def main() -> None:
    """Print what is compiled only after `warm_up`."""
    warm_up()
    before = compiled()
    meet_everything()
    print(*sorted(compiled() - before), sep="\n")


def test_nothing_is_compiled_after_warming_up() -> None:
    said = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True)
    assert said.stdout.split() == []
