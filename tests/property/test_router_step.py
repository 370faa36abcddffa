"""The router's step equals a slow one that decodes, decides and encodes record by record with fastavro."""

from __future__ import annotations

import io
from hashlib import blake2b
from typing import Any

import fastavro
from hypothesis import given
from hypothesis import strategies as st

from exchange.contract.model import Grant
from exchange.contract.terms import Condition, Mask
from exchange.ledger.entry import tag
from exchange.ledger.merkle import digest_leaf, merkle_root
from tests.rigs.routing import (
    KEY,
    NEW,
    OLD,
    PSEUDONYM_KEY,
    SCHEMAS,
    Written,
    batch,
    epoch,
    grant,
    route,
    value,
    view_schema,
    wire,
)

DISTRICTS = ["4401", "440106", "44", "3100", "", None]
FIELDS = ["id", "year", "district", "cents"]
MASKS: dict[str, list[Any]] = {
    "id": ["pseudonym", "pseudonym", {"kind": "partial", "last": 2}, None],
    "district": ["redact", "pseudonym", {"kind": "partial", "first": 2}],
    "cents": [{"kind": "range", "bounds": [0, 100]}],
}
HEADERS = st.lists(st.tuples(st.text(max_size=3), st.binary(max_size=3)), max_size=2)


@st.composite
def values(draw: st.DrawFn) -> bytes | None:
    """Mostly valid records; some null, some broken."""
    schema_id = draw(st.sampled_from([OLD, NEW]))
    person, year = draw(st.sampled_from(["", "440101", "穗"])), draw(st.integers(2020, 2026))
    district, cents = draw(st.sampled_from(DISTRICTS)), draw(st.integers(-(2**40), 2**40))
    made = value(schema_id, id=person, year=year, district=district, cents=cents, note=draw(st.text(max_size=3)))
    broken = [None, b"", made[:4], b"\1" + made[1:], b"\0\0\0\0\4" + made[5:], made + b"\0", made[:-1], made[:6]]
    return draw(st.sampled_from([made] * 3 * len(broken) + broken))


RECORDS = st.lists(st.tuples(st.integers(0, 2**41), st.none() | st.binary(max_size=5), values(), HEADERS), max_size=20)


@st.composite
def grants(draw: st.DrawFn) -> list[Grant]:
    made = []
    for i in range(draw(st.integers(0, 4))):
        fields: Any = draw(st.just("all") | st.lists(st.sampled_from(FIELDS), min_size=1, unique=True).map(tuple))
        where: dict[str, Any] = {}
        if draw(st.booleans()):
            where["year"] = {"ge": draw(st.integers(2020, 2026))}
        if draw(st.booleans()):
            where["district"] = draw(st.sampled_from([{"prefix": "4401"}, {"in": ["44", None]}, {"is_null": True}]))
        if draw(st.booleans()):
            where["any"] = [{"cents": {"ge": 0}}, {"not": {"district": {"prefix": "4401"}}}]
        masks = {
            name: draw(st.sampled_from(options))
            for name, options in MASKS.items()
            if (fields == "all" or name in fields) and not draw(st.integers(0, 3))
        }
        made.append(grant(f"g{i}", fields=fields, where=where, masks=masks))
    return made


def holds(record: dict[str, Any], given: Grant) -> bool:
    for name, condition in given.where.items():
        if name == "any":
            if record["cents"] < 0 and (record["district"] or "-").startswith("4401"):
                return False
            continue
        assert isinstance(condition, Condition)
        [(operator, operand)] = condition.operators().items()
        found = record[name]
        if operator == "ge" and found < operand:
            return False
        if operator == "prefix" and not (found or "-").startswith(operand):
            return False
        if operator == "in" and found not in operand:
            return False
        if operator == "is_null" and found is not None:
            return False
    return True


def decode(raw: bytes) -> tuple[int, dict[str, Any]] | None:
    """Schema id and record; None where it is not one."""
    schema_id = int.from_bytes(raw[1:5], "big")
    if len(raw) < 5 or raw[0] != 0 or schema_id not in SCHEMAS:
        return None
    body = io.BytesIO(raw[5:])
    try:
        record = fastavro.schemaless_reader(body, SCHEMAS[schema_id].parsed)
    except (EOFError, IndexError, UnicodeDecodeError, ValueError):
        return None
    return (schema_id, record) if body.tell() == len(raw) - 5 else None


def deliver(record: Written, given: Grant, view_id: int | None) -> Written | str:
    """What a valid record becomes for a grant, or why it is withheld."""
    timestamp, key, raw, headers = record
    is_whole = given.fields == "all" and not given.masks
    names = tuple(SCHEMAS[NEW].fields) if given.fields == "all" else given.fields
    mask = given.masks.get("id")
    keeps_key = "id" in names and mask is None
    if raw is None:
        if given.where or not keeps_key:
            return "tombstone"
        return timestamp, key, None, headers if is_whole else []
    decoded = decode(raw)
    assert decoded is not None
    if not holds(decoded[1], given):
        return "filter"
    if is_whole:
        return record
    assert view_id is not None
    whole = {"note": "none"} | decoded[1]
    kept = {name: masked(given, given.masks.get(name), whole[name]) for name in names}
    if not keeps_key:
        known = key is not None and "id" in names and mask is not None and mask.kind == "pseudonym"
        key = pseudonym(given, key or b"").encode() if known else None
    return timestamp, key, wire(view_id, kept, view_schema(given, names)), []


def pseudonym(given: Grant, value: bytes) -> str:
    """Made from the documented recipe alone."""
    ours = blake2b(
        f"{given.reader}/0".encode(), digest_size=32, key=PSEUDONYM_KEY, person=b"exchange.reader\0"
    ).digest()
    return blake2b(value, digest_size=16, key=ours, person=b"exchange.pseudo\0").hexdigest()


def masked(given: Grant, mask: Mask | None, value: Any) -> Any:
    if mask is None:
        return value
    if mask.kind == "redact":
        return "***"
    if mask.kind == "null" or value is None:
        return None
    if mask.kind == "pseudonym":
        return pseudonym(given, value.encode())
    if mask.kind == "range":
        return "<0" if value < 0 else "0..100" if value < 100 else ">=100"
    shown = mask.first + mask.last
    hidden = "*" * (len(value) - shown)
    return value[: mask.first] + hidden + value[len(value) - mask.last :] if hidden else "*" * len(value)


@given(st.lists(RECORDS.filter(bool), min_size=1, max_size=3), grants(), st.integers(0, 4))
def test_a_step_equals_the_slow_one(parts: list[list[Written]], given: list[Grant], codec: int) -> None:
    under = epoch(*given)
    starts = [100 * i for i in range(len(parts))]
    routed = route(under, [batch(part, codec, start) for part, start in zip(parts, starts, strict=True)])
    entry = routed.step.entry
    records = [record for part in parts for record in part]

    bad = {i for i, (_, _, raw, _) in enumerate(records) if raw is not None and decode(raw) is None}
    assert {q.index for q in entry.quarantined} == bad
    assert [(k, v) for _, k, v, _ in routed.quarantine] == [records[i][1:3] for i in sorted(bad)]
    assert entry.root == merkle_root([digest_leaf(key, raw) for _, key, raw, _ in records])
    assert entry.tags == b"".join(tag(key, KEY) for _, key, _, _ in records)
    assert [entry.offset(i) for i in range(entry.count)] == [
        start + i for part, start in zip(parts, starts, strict=True) for i in range(len(part))
    ]
    assert sorted(g for outcome in entry.outcomes for g in outcome.grants) == sorted(g.id for g in given)
    for one in given:
        made = {i: deliver(r, one, under.views.get(one.id)) for i, r in enumerate(records) if i not in bad}
        due = [record for record in made.values() if not isinstance(record, str)]
        assert routed.inboxes.get(f"inbox.{one.id}.office.income", []) == due
        assert routed.outcome(one.id) == {i: why for i, why in made.items() if isinstance(why, str)}
        [outcome] = [o for o in entry.outcomes if one.id in o.grants]
        assert outcome.digest == merkle_root([digest_leaf(key, raw) for _, key, raw, _ in due])
        assert outcome.size_bytes == sum(len(key or b"") + len(raw or b"") for _, key, raw, _ in due)
