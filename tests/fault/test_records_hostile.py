"""Hostile bytes and schemas: no crash, no hang, little memory; each bad record is told from its good neighbours."""

from __future__ import annotations

import json
import random
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exchange.contract.terms import Condition
from exchange.errors import ConfigError
from exchange.records.check import REASONS, check
from exchange.records.program import MAX_CODE, ProgramError, compile_program
from exchange.records.reference import on_base
from exchange.records.values import Values, read_only
from exchange.records.view import compile_view
from exchange.schema import wire
from exchange.schema.avro import DecodeError, Schema, decode, encode, parse
from exchange.schema.project import project
from tests.rigs.views import evaluate

FRAMES = 100_000
SCHEMAS = 10_000
MEMORY_BYTES = 256 << 20

NESTED = {
    "type": "record",
    "name": "Nested",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "tags", "type": {"type": "map", "values": ["null", "long", "string"]}},
        {"name": "digest", "type": {"type": "fixed", "name": "D", "size": 4}},
        {"name": "flag", "type": "boolean"},
        {"name": "kind", "type": {"type": "enum", "name": "K", "symbols": ["a", "b", "c"]}},
        {
            "name": "lines",
            "type": {
                "type": "array",
                "items": {
                    "type": "record",
                    "name": "Line",
                    "fields": [
                        {"name": "n", "type": "int"},
                        {"name": "x", "type": "double"},
                        {"name": "texts", "type": {"type": "array", "items": "string"}},
                    ],
                },
            },
        },
        {"name": "nothing", "type": {"type": "array", "items": "null"}},
        {"name": "raw", "type": "bytes"},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
    ],
}
HUGE = [b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\xff" * 9 + b"\x01", b"\xff" * 12, b"\x80" * 9 + b"\x00"]


def record(rng: random.Random) -> dict[str, Any]:
    line = {
        "n": rng.randrange(-9, 9),
        "x": rng.random(),
        "texts": ["漢字", "a" * rng.randrange(20)][: rng.randrange(3)],
    }
    return {
        "id": f"{rng.randrange(10**6)}",
        "tags": {"k": rng.choice([None, 5, "v"])},
        "digest": b"abcd",
        "flag": rng.random() < 0.5,
        "kind": rng.choice("abc"),
        "lines": [line] * rng.randrange(4),
        "nothing": [None] * rng.randrange(3),
        "raw": rng.randbytes(rng.randrange(9)),
        "day": rng.randrange(20_000),
    }


def mutated(body: bytes, rng: random.Random) -> bytes:
    data = bytearray(body)
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(6):
            case 0:
                del data[at:]
            case 1 if at < len(data):
                data[at] ^= 1 << rng.randrange(8)
            case 2 if at < len(data):
                data[at] = rng.choice([0, 1, 2, 0x7F, 0x80, 0xFE, 0xFF])
            case 3:
                data[at:at] = rng.choice(HUGE)
            case 4:
                data[at : at + rng.randrange(9)] = rng.randbytes(rng.randrange(9))
            case _:
                data += rng.randbytes(rng.randrange(1, 4))
    return bytes(data)


def columns(frames: list[bytes], gap: bytes) -> Values:
    length = np.array([len(frame) for frame in frames], np.int64)
    steps = length + len(gap)
    return Values(read_only(gap + b"".join(frame + gap for frame in frames)), np.cumsum(steps) - length, length)


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.fixture(scope="module")
def frames() -> tuple[Schema, list[bytes]]:
    """Every third frame is a good record, the others were made from one."""
    rng = random.Random(4)
    schema = parse(json.dumps(NESTED))
    good = [encode(on_base(schema), record(rng)) for _ in range(200)]
    return schema, [rng.choice(good) if i % 3 == 0 else mutated(rng.choice(good), rng) for i in range(FRAMES)]


def test_mutated_frames_are_told_from_good_ones(frames: tuple[Schema, list[bytes]]) -> None:
    schema, bodies = frames
    program, base = compile_program(schema), on_base(schema)
    before, began = peak_bytes(), time.monotonic()
    status = check(program, columns(bodies, b"\xff" * 16))
    assert time.monotonic() - began < 30
    assert peak_bytes() - before < MEMORY_BYTES
    # What is around a frame decides nothing about it.
    assert (status == check(program, columns(bodies, b"\0" * 3))).all()
    assert not status[::3].any()
    assert set(np.unique(status).tolist()) == set(range(len(REASONS)))
    # What passes, every reader can decode, to the last byte and with its logical types.
    passed = np.flatnonzero(status == 0).tolist()
    assert len(passed) < FRAMES / 2
    for i in passed:
        decode(schema, bodies[i])
    # What is refused is not refused for nothing: the library decodes little of it.
    refused = np.flatnonzero(status).tolist()
    decoded = sum(decodes(base, bodies[i]) for i in refused[:5000] if REASONS[status[i]] == "truncated")
    assert decoded == 0


def decodes(schema: Schema, body: bytes) -> bool:
    try:
        decode(schema, body)
    except DecodeError:
        return False
    return True


def test_a_view_delivers_the_good_neighbours_of_mutated_frames(frames: tuple[Schema, list[bytes]]) -> None:
    schema, bodies = frames
    where = {"kind": Condition(ne="b"), "day": Condition(ge="1990-01-01")}
    given = project(schema, ["id", "lines", "day"])
    view = compile_view({3: schema}, (9, given), where)
    result = evaluate(view, {3: schema}, [wire.pack(3, body) for body in bodies])
    refused = check(compile_program(schema), columns(bodies, b"")) != 0
    assert not result.keep[refused].any()
    assert not result.unevaluable.any()
    values = result.values.tolist()
    for i in range(0, 3000, 3):
        whole = decode(schema, bodies[i])
        assert result.keep[i] == (whole["kind"] != "b" and whole["day"].year >= 1990)
        if result.keep[i]:
            body = wire.unpack(values[i] or b"")[1]
            assert decode(given, body) == {name: whole[name] for name in ("id", "lines", "day")}


@pytest.mark.parametrize(
    ("kind", "body", "reason"),
    [
        ({"type": "array", "items": "null"}, b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01\x00", "block-count"),
        ({"type": "array", "items": "null"}, b"\x80\x80\x08" * 5 + b"\x00", "block-count"),
        ({"type": "array", "items": "int"}, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x02\x00", "block-count"),
        ({"type": "array", "items": "int"}, b"\x01\x04\x02\x00", "block-count"),
        ({"type": "array", "items": "int"}, b"\x04\x02", "block-count"),
        ({"type": "map", "values": "null"}, b"\x02\x01a\x00", "length"),
        ("string", b"\x01", "length"),
        ("string", b"\x04\xc0\x80", "utf-8"),
        ("string", b"\x06\xed\xa0\x80", "utf-8"),
        ("string", b"\x08\xf4\x90\x80\x80", "utf-8"),
        ("string", b"\x02\xc3", "utf-8"),
        ("bytes", b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", "length"),
        ("long", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", "varint"),
        ("long", b"\x80" * 10, "varint"),
        ("long", b"\x80", "truncated"),
        ("int", b"\x80\x80\x80\x80\x20", "integer-range"),
        ("boolean", b"\x02", "boolean"),
        (["null", "int"], b"\x04", "union-index"),
        (["null", "int"], b"\x01", "union-index"),
        ({"type": "enum", "name": "E", "symbols": ["a"]}, b"\x02", "enum-index"),
        ({"type": "int", "logicalType": "date"}, b"\x80\xee\xe6\x02", "integer-range"),
        ("int", b"\x02\x02", "trailing-bytes"),
        ("double", b"\0" * 7, "truncated"),
    ],
)
def test_each_fault_has_its_reason(kind: Any, body: bytes, reason: str) -> None:
    schema = parse(json.dumps({"type": "record", "name": "R", "fields": [{"name": "x", "type": kind}]}))
    assert REASONS[check(compile_program(schema), columns([body], b"\0\0"))[0]] == reason


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("long", b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        ("long", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        ("long", b"\x80\x00"),
        ("string", b"\x14" + "a\u07ff\u0800\U0010ffff".encode()),
        ({"type": "array", "items": "int"}, b"\x03\x04\x02\x04\x02\x06\x00"),
        ({"type": "array", "items": "null"}, b"\x05\x00\x00"),
    ],
)
def test_unusual_forms_that_avro_allows_pass(kind: Any, body: bytes) -> None:
    schema = parse(json.dumps({"type": "record", "name": "R", "fields": [{"name": "x", "type": kind}]}))
    assert check(compile_program(schema), columns([body], b"\xff")).tolist() == [0]
    decode(schema, body)


def test_mutated_schemas_are_compiled_or_refused_with_a_reason() -> None:
    rng = random.Random(5)
    texts = [path.read_text() for path in sorted(Path("schemas").glob("*/*.avsc"))] + [json.dumps(NESTED)]
    start = np.arange(0, 900, 9)
    junk = Values(read_only(rng.randbytes(1000)), start, start * 0 + 100)
    began, refused = time.monotonic(), 0
    for _ in range(SCHEMAS):
        text = rng.choice(texts)
        at = rng.randrange(len(text))
        piece = rng.choice(
            ['"null"', "-1", "1e99", "[", "{}", '"array"', "", '"map"', "9" * 30, '"Line"', "\0", "null"]
        )
        try:
            check(compile_program(parse(text[:at] + piece + text[at + rng.randrange(12) :])), junk)
        except ConfigError:
            refused += 1
    assert 0 < refused < SCHEMAS
    assert time.monotonic() - began < 120


def nest(kind: Any, depth: int) -> Any:
    for _ in range(depth):
        kind = {"type": "array", "items": kind}
    return kind


def doubling(levels: int, leaf: Any) -> Any:
    """Records of which each has the one below twice: 2 ** levels leaves in a few lines of schema."""
    kind: Any = {"type": "record", "name": "L0", "fields": [{"name": "x", "type": leaf}]}
    for i in range(1, levels):
        kind = {
            "type": "record",
            "name": f"L{i}",
            "fields": [{"name": "a", "type": kind}, {"name": "b", "type": f"L{i - 1}"}],
        }
    return kind


def test_a_schema_that_writes_out_to_too_much_is_refused() -> None:
    wide = [{"name": f"f{i}", "type": "L6" if i else doubling(7, "int")} for i in range(MAX_CODE >> 6)]
    with pytest.raises(ProgramError):
        compile_program(parse(json.dumps({"type": "record", "name": "R", "fields": wide})))


def test_deep_and_empty_types_take_no_time() -> None:
    began = time.monotonic()
    with pytest.raises(ConfigError):
        compile_program(
            parse(json.dumps({"type": "record", "name": "R", "fields": [{"name": "x", "type": nest("int", 40)}]}))
        )
    program = compile_program(parse(json.dumps(doubling(8, {"type": "array", "items": "null"}))))
    body = b"\x80\x80\x08\x00" * 128
    assert check(program, columns([body], b"")).tolist() == [0]
    deep = compile_program(
        parse(json.dumps({"type": "record", "name": "R", "fields": [{"name": "x", "type": nest("null", 14)}]}))
    )
    assert check(deep, columns([b"\x02" * 5000], b"")).tolist() != [0]
    assert time.monotonic() - began < 30
