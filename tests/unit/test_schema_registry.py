"""`_schemas` is read and written in Confluent's own record format."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from exchange.schema.avro import Schema, parse
from exchange.schema.compatibility import Level
from exchange.schema.registry import Registry, RegistryError


def read(records: Sequence[tuple[bytes | None, bytes | None]]) -> Registry:
    """The registry of these records, whose offsets are counted from 0."""
    return Registry.read((key, value, offset) for offset, (key, value) in enumerate(records))


def _schema(name: str = "R", kind: str = "int") -> Schema:
    return parse(json.dumps({"type": "record", "name": name, "fields": [{"name": "a", "type": kind}]}))


def _value(subject: str, version: int, schema_id: int, schema: Schema, deleted: bool = False) -> tuple[bytes, bytes]:
    """A record as Confluent's registry writes it."""
    key = f'{{"keytype":"SCHEMA","subject":"{subject}","version":{version},"magic":1}}'
    value = {"subject": subject, "version": version, "id": schema_id, "schema": schema.text, "deleted": deleted}
    return key.encode(), json.dumps(value, separators=(",", ":")).encode()


def test_records_are_byte_for_byte_confluents() -> None:
    registry = Registry()
    _, [(key, value)] = registry.register("subject.tax.income-value", _schema())
    assert key == b'{"keytype":"SCHEMA","subject":"subject.tax.income-value","version":1,"magic":1}'
    assert value == (
        b'{"subject":"subject.tax.income-value","version":1,"id":1,'
        b'"schema":"{\\"type\\":\\"record\\",\\"name\\":\\"R\\",\\"fields\\":[{\\"name\\":\\"a\\",\\"type\\":\\"int\\"}]}",'
        b'"deleted":false}'
    )
    assert registry.set_compatibility(None, Level.BACKWARD_TRANSITIVE) == [
        (b'{"keytype":"CONFIG","subject":null,"magic":0}', b'{"compatibilityLevel":"BACKWARD_TRANSITIVE"}')
    ]


def test_ids_are_shared_between_subjects_and_versions_counted_in_each() -> None:
    registry = Registry()
    assert registry.register("a-value", _schema("A"))[0] == 1
    assert registry.register("b-value", _schema("A"))[0] == 1
    assert registry.register("a-value", _schema("B"))[0] == 2
    assert registry.register("b-value", _schema("B"))[0] == 2
    assert registry.register("b-value", _schema("B")) == (2, [])
    assert registry.ids("a-value") == (1, 2)
    assert [v.version for v in registry.versions("b-value")] == [1, 2]


def test_what_is_published_is_read_back() -> None:
    registry = Registry()
    records = registry.register("a-value", _schema("A"))[1] + registry.register("a-value", _schema("B"))[1]
    records += registry.set_compatibility("a-value", Level.FULL)
    again = read(records)
    assert again.ids("a-value") == (1, 2)
    assert again.schema(2) == _schema("B")
    assert again.compatibility("a-value") is Level.FULL
    assert again.compatibility("b-value") is Level.BACKWARD_TRANSITIVE
    assert not again.has_level


def test_records_of_a_confluent_registry_are_understood() -> None:
    records = [
        (b'{"keytype":"NOOP","magic":0}', None),
        (b'{"keytype":"CONFIG","subject":null,"magic":0}', b'{"compatibilityLevel":"FORWARD"}'),
        (b'{"keytype":"MODE","subject":null,"magic":0}', b'{"mode":"READWRITE"}'),
        _value("a-value", 1, 7, _schema("A")),
        _value("a-value", 2, 9, _schema("B")),
        (*_value("p-value", 1, 8, _schema("P"))[:1], b'{"schemaType":"PROTOBUF","id":8,"schema":"x"}'),
        (b'{"keytype":"CONFIG","subject":"a-value","magic":0}', b'{"compatibilityLevel":"NONE"}'),
        (b'{"keytype":"CONFIG","subject":"a-value","magic":0}', None),
        (b'{"keytype":"CONTEXT","tenant":"t","context":".","magic":0}', b"{}"),
    ]
    registry = read(records)
    assert (registry.level, registry.has_level) == (Level.FORWARD, True)
    assert registry.compatibility("a-value") is Level.FORWARD
    assert registry.ids("a-value") == (7, 9)
    assert registry.versions("p-value") == []
    assert registry.register("new-value", _schema("N"))[0] == 10


def test_an_id_of_another_kind_of_schema_is_never_given_again() -> None:
    key, _ = _value("p-value", 1, 8, _schema("P"))
    registry = read([(key, b'{"schemaType":"PROTOBUF","id":8,"schema":"x"}')])
    assert registry.register("a-value", _schema("A"))[0] == 9


def test_deleted_versions_keep_their_id() -> None:
    records = [
        _value("a-value", 1, 1, _schema("A")),
        _value("a-value", 2, 2, _schema("B"), deleted=True),
        _value("b-value", 1, 1, _schema("A")),
        (b'{"keytype":"DELETE_SUBJECT","subject":"b-value","magic":0}', b'{"subject":"b-value","version":1}'),
    ]
    registry = read(records)
    assert registry.ids("a-value") == (1,)
    assert registry.ids("b-value") == ()
    assert registry.schema(2) == _schema("B")
    # Registered again, it is a new version with the id that it had.
    schema_id, [(key, _)] = registry.register("a-value", _schema("B"))
    assert schema_id == 2
    assert b'"version":3' in key


def test_a_null_value_takes_a_version_away() -> None:
    key, value = _value("a-value", 1, 1, _schema("A"))
    assert read([(key, value), (key, None)]).versions("a-value") == []


def test_of_two_writers_the_first_keeps_the_id() -> None:
    ours = _value("a-value", 1, 1, _schema("A"))
    theirs = _value("b-value", 1, 1, _schema("B"))
    registry = read([theirs, ours])
    assert registry.schema(1) == _schema("B")
    assert registry.ids("a-value") == ()
    schema_id, [record] = registry.register("a-value", _schema("A"))
    assert schema_id == 2
    # The second try has the key of the first, so that it replaces it in a compacted topic.
    assert record[0] == ours[0]
    assert read([theirs, ours, record]).ids("a-value") == (2,)


FOREIGN = [
    (b"not json", b"{}"),
    (b"", b"{}"),
    (None, b'{"id":1,"schema":"x"}'),
    (b"\xff\xfe", None),
    (b"[]", b"{}"),
    (b"7", b"{}"),
    (b"null", b"{}"),
    (b"[" * 100_000, b"{}"),
    (b'{"keytype":"SOMETHING","subject":"a-value"}', b"\xff"),
    (b'{"keytype":["SCHEMA"],"subject":"a-value"}', b"{}"),
    (b'{"keytype":"MODE","subject":"a-value","magic":0}', b"not json"),
    (b'{"subject":"a-value","version":1}', b"{}"),
    (b'{"keytype":"CONFIG","subject":null,"magic":0}', b'{"compatibilityLevel":"SIDEWAYS"}'),
    (b'{"keytype":"SCHEMA","subject":"other-value","version":1,"magic":1}', b"not json"),
    (b'{"keytype":"SCHEMA","subject":"other-value","version":Infinity,"magic":1}', b"{}"),
    (b'{"keytype":"SCHEMA","subject":{"x":1},"version":1,"magic":1}', b"{}"),
    (b'{"keytype":"SCHEMA","version":1,"magic":1}', b'{"id":1,"schema":"{}"}'),
    (b'{"keytype":"SCHEMA","subject":"other-value","version":1,"magic":1}', b'{"id":99999999999,"schema":"{}"}'),
    (b'{"keytype":"SCHEMA","subject":"other-value","version":1,"magic":1}', b'{"id":-3,"schema":"{}"}'),
    (b'{"keytype":"CONFIG","subject":"other-value","magic":0}', b"7"),
    (b'{"keytype":"DELETE_SUBJECT","subject":"other-value","magic":0}', b"[]"),
]


@pytest.mark.parametrize(("key", "value"), FOREIGN)
def test_what_is_foreign_is_left_alone(key: bytes | None, value: bytes | None) -> None:
    registry = read([_value("a-value", 1, 1, _schema("A")), (key, value)])
    assert registry.ids("a-value") == (1,)
    assert registry.schema(1) == _schema("A")
    assert registry.compatibility("a-value") is Level.BACKWARD_TRANSITIVE
    assert registry.register("a-value", _schema("B"))[0] == 2


@pytest.mark.parametrize(
    "value", [b"not json", b"\xff", b"[]", b'{"id":1}', b'{"id":1,"schema":"{"}', b'{"id":0,"schema":"{}"}']
)
def test_a_version_that_cannot_be_read_is_told_to_who_asks_for_its_subject(value: bytes) -> None:
    key = b'{"keytype":"SCHEMA","subject":"a-value","version":2,"magic":1}'
    records = [_value("a-value", 1, 1, _schema("A")), (key, value), _value("b-value", 1, 1, _schema("A"))]
    registry = read(records)
    assert registry.ids("b-value") == (1,)
    with pytest.raises(RegistryError, match="offset 1: the record of kind SCHEMA about a-value") as told:
        registry.ids("a-value")
    assert key.decode() in told.value.remedy
    # The remedy heals.
    assert read([*records, (key, None)]).ids("a-value") == (1,)


def test_a_level_that_is_none_is_told_to_who_asks_for_its_subject() -> None:
    key = b'{"keytype":"CONFIG","subject":"a-value","magic":0}'
    records: list[tuple[bytes | None, bytes | None]] = [(key, b'{"compatibilityLevel":"SIDEWAYS"}')]
    assert read(records).compatibility("b-value") is Level.BACKWARD_TRANSITIVE
    with pytest.raises(RegistryError, match="offset 0: the record of kind CONFIG about a-value") as told:
        read(records).compatibility("a-value")
    assert key.decode() in told.value.remedy
    assert read([*records, (key, None)]).compatibility("a-value") is Level.BACKWARD_TRANSITIVE
