"""Versions are compared by Avro's rules and by the meaning of logical types."""

from __future__ import annotations

import json
from typing import Any

import pytest

from exchange.schema.avro import Schema, parse
from exchange.schema.compatibility import Level, incompatibilities, unreadable


def _schema(kind: Any = None, **more: Any) -> Schema:
    fields: list[dict[str, Any]] = [{"name": "id", "type": "string"}]
    if kind is not None:
        fields.append({"name": "f", "type": kind, **more})
    return parse(json.dumps({"type": "record", "name": "R", "fields": fields}))


def _decimal(precision: int, scale: int) -> dict[str, Any]:
    return {"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale}


def _nested(kind: Any) -> dict[str, Any]:
    inner = {"type": "record", "name": "N", "fields": [{"name": "x", "type": kind}]}
    return {"type": "map", "values": {"type": "array", "items": inner}}


MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
MICROS = {"type": "long", "logicalType": "timestamp-micros"}
DATE = {"type": "int", "logicalType": "date"}
UNKNOWN = {"type": "string", "logicalType": "a-sound"}  # not to us, but perhaps to a reader
SMALL = {"type": "enum", "name": "E", "symbols": ["a"]}
LARGE = {"type": "enum", "name": "E", "symbols": ["a", "b"]}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (_schema(), _schema("int", default=0)),
        (_schema("int"), _schema()),
        (_schema("int"), _schema("long")),
        (_schema("string"), _schema(["null", "string"])),
        (_schema(SMALL), _schema(LARGE)),
        (_schema(_decimal(10, 2)), _schema(_decimal(12, 2))),
        (_schema(_decimal(10, 2)), _schema(["null", _decimal(10, 2)])),
        (_schema(_nested(DATE)), _schema(_nested(DATE))),
    ],
)
def test_compatible(old: Schema, new: Schema) -> None:
    assert unreadable(new, old) == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (_schema(), _schema("int"), "/f: is new and has no default"),
        (_schema("long"), _schema("int"), "/f: reader type: int not compatible with writer type: long"),
        (_schema(LARGE), _schema(SMALL), "/f"),
        (_schema(["null", "string"]), _schema("string"), "/f"),
        (
            _schema(_decimal(10, 2)),
            _schema(_decimal(10, 3)),
            "/f: was decimal with scale 2, becomes decimal with scale 3",
        ),
        (_schema(_decimal(10, 2)), _schema(_decimal(9, 2)), "/f: decimal precision shrinks from 10 to 9"),
        (_schema(_decimal(10, 2)), _schema("bytes"), "/f: was decimal with scale 2, becomes without logical type"),
        (_schema(MILLIS), _schema(MICROS), "/f: was timestamp-millis, becomes timestamp-micros"),
        (_schema("int"), _schema(DATE), "/f: was without logical type, becomes date"),
        (_schema(UNKNOWN), _schema("string"), "/f: was a-sound, becomes without logical type"),
        (_schema(["null", MILLIS]), _schema(["null", "long"]), "/f: was timestamp-millis"),
        (_schema(MILLIS), _schema(["null", MICROS]), "/f: was timestamp-millis"),
        (_schema(_nested(MILLIS)), _schema(_nested(MICROS)), "/f/values/items/x: was timestamp-millis"),
    ],
)
def test_incompatible_with_its_path(old: Schema, new: Schema, message: str) -> None:
    found = unreadable(new, old)
    assert len(found) == 1
    assert found[0].startswith(message)


def test_transitive_levels_look_at_every_version() -> None:
    versions = [_schema("int"), _schema()]
    back = _schema("string", default="")
    assert incompatibilities(back, versions, Level.BACKWARD) == []
    assert incompatibilities(back, versions, Level.BACKWARD_TRANSITIVE) != []
    assert incompatibilities(back, versions, Level.NONE) == []


def test_forward_asks_whether_the_old_can_read_the_new() -> None:
    with_field, without = _schema("int"), _schema()
    assert incompatibilities(with_field, [without], Level.FORWARD) == []
    assert incompatibilities(without, [with_field], Level.FORWARD) != []
    assert incompatibilities(with_field, [without], Level.FULL) != []


def test_a_first_version_is_always_welcome() -> None:
    assert incompatibilities(_schema(), [], Level.FULL_TRANSITIVE) == []
