"""`_schemas` is read and written in Confluent's own record format."""

from __future__ import annotations

import json

import pytest

from exchange.schema.avro import Schema, parse
from exchange.schema.compatibility import Level
from exchange.schema.registry import Registry, RegistryError


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
    again = Registry.read(records)
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
    registry = Registry.read(records)
    assert (registry.level, registry.has_level) == (Level.FORWARD, True)
    assert registry.compatibility("a-value") is Level.FORWARD
    assert registry.ids("a-value") == (7, 9)
    assert registry.versions("p-value") == []
    assert registry.register("new-value", _schema("N"))[0] == 10


def test_an_id_of_another_kind_of_schema_is_never_given_again() -> None:
    key, _ = _value("p-value", 1, 8, _schema("P"))
    registry = Registry.read([(key, b'{"schemaType":"PROTOBUF","id":8,"schema":"x"}')])
    assert registry.register("a-value", _schema("A"))[0] == 9


def test_deleted_versions_keep_their_id() -> None:
    records = [
        _value("a-value", 1, 1, _schema("A")),
        _value("a-value", 2, 2, _schema("B"), deleted=True),
        _value("b-value", 1, 1, _schema("A")),
        (b'{"keytype":"DELETE_SUBJECT","subject":"b-value","magic":0}', b'{"subject":"b-value","version":1}'),
    ]
    registry = Registry.read(records)
    assert registry.ids("a-value") == (1,)
    assert registry.ids("b-value") == ()
    assert registry.schema(2) == _schema("B")
    # Registered again, it is a new version with the id that it had.
    schema_id, [(key, _)] = registry.register("a-value", _schema("B"))
    assert schema_id == 2
    assert b'"version":3' in key


def test_a_null_value_takes_a_version_away() -> None:
    key, value = _value("a-value", 1, 1, _schema("A"))
    assert Registry.read([(key, value), (key, None)]).versions("a-value") == []


def test_of_two_writers_the_first_keeps_the_id() -> None:
    ours = _value("a-value", 1, 1, _schema("A"))
    theirs = _value("b-value", 1, 1, _schema("B"))
    registry = Registry.read([theirs, ours])
    assert registry.schema(1) == _schema("B")
    assert registry.ids("a-value") == ()
    schema_id, [record] = registry.register("a-value", _schema("A"))
    assert schema_id == 2
    # The second try has the key of the first, so that it replaces it in a compacted topic.
    assert record[0] == ours[0]
    assert Registry.read([theirs, ours, record]).ids("a-value") == (2,)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"not json", b"{}"),
        (b'{"keytype":"SCHEMA","subject":"a-value","version":1,"magic":1}', b'{"id":1}'),
        (b'{"keytype":"SCHEMA","subject":"a-value","version":1,"magic":1}', b'{"id":1,"schema":"{"}'),
        (b'{"keytype":"CONFIG","subject":null,"magic":0}', b'{"compatibilityLevel":"SIDEWAYS"}'),
        (b"[]", b"{}"),
        (b"[" * 100_000, b"{}"),
        (b'{"keytype":"SCHEMA","subject":"a-value","version":Infinity,"magic":1}', b"{}"),
        (b'{"keytype":"SCHEMA","subject":"a-value","version":1,"magic":1}', b"\xff"),
    ],
)
def test_what_is_no_registrys_record_stops(key: bytes, value: bytes) -> None:
    with pytest.raises(RegistryError):
        Registry.read([(key, value)])


def test_a_null_value_heals() -> None:
    key = b'{"keytype":"CONFIG","subject":null,"magic":0}'
    assert Registry.read([(key, b"{"), (key, None)]).level is Level.BACKWARD_TRANSITIVE
