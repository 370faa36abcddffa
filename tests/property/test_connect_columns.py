"""What kernels write of a table is what is written row by row: keys, values, rejected rows, hashes, to the byte."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from exchange.connect.config import Cursor, SoftDelete, SourceConfig
from exchange.connect.copied import CopiedRows, FetchedTable
from exchange.connect.database import DatabaseConfigError
from exchange.connect.plain_rows import PlainRows
from exchange.connect.publish import Encoder
from exchange.connect.soft_delete import deletes
from exchange.connect.source import Bad, Deleted, Page, Row
from exchange.connect.window import row_hash
from exchange.contract import key as row_key
from exchange.contract.model import Rounding
from exchange.contract.rounding import fault
from exchange.records.text_program import zone_offsets
from exchange.schema import avro
from exchange.schema.avro import Schema
from tests.rigs.copied import copied, encoder

ZONES = ("UTC", "Asia/Shanghai", "America/New_York", "Europe/Dublin", "Australia/Lord_Howe", "Africa/Casablanca")


def numerals(digits: int, decimals: int) -> st.SearchStrategy[str]:
    whole = st.integers(0, 10**digits).map(str)
    part = st.text("0123456789", max_size=decimals) | st.sampled_from(("00", "005", "995", "5", "0" * 8 + "1"))
    return st.builds(lambda sign, w, p: sign + w + ("." + p if p else ""), st.sampled_from(("", "", "-")), whole, part)


def _float(value: float) -> str:
    """As PostgreSQL writes it."""
    return str(value).removesuffix(".0").replace("inf", "Infinity").replace("nan", "NaN")


def moments(*zones: str) -> st.SearchStrategy[str]:
    day = st.sampled_from(("2024-03-10", "2024-11-03", "1970-01-01", "1969-12-31", "0001-01-01", "9999-12-31"))
    day |= st.dates().map(str)
    clock = st.times().map(lambda at: at.isoformat("seconds")) | st.sampled_from(("00:00:00", "02:30:00", "01:59:59"))
    part = st.sampled_from(("", "", ".5", ".123", ".123456", ".000001", ".99")) | st.integers(1, 999_999).map(
        lambda us: f".{us:06d}".rstrip("0")
    )
    odd = st.sampled_from(("infinity", "-infinity", "0044-03-15 00:00:00{} BC", "10000-01-01 00:00:00{}"))
    zone = st.sampled_from(zones)
    usual = st.builds(lambda d, c, p, z: f"{d} {c}{p}{z}", day, clock, part, zone)
    return usual | usual | usual | st.builds(str.format, odd, zone)


DATES = st.dates().map(str) | st.sampled_from(("infinity", "-infinity", "0044-03-15 BC", "10000-01-01", "0001-01-01"))
CLOCK = st.sampled_from(("24:00:00", "00:00:00", "23:59:59.999999", "12:00:00.5", "08:00:00.123"))
WORDS = st.sampled_from(("", "A", "B", "7", "007", "-0", "1.5", "true", "2024-01-02", "\\", "a\tb\n\r\b\f\v\\N", "𝄞é"))
IDS = st.uuids().map(str)
MOMENTS = st.builds(
    "{} {}{}".format,
    st.sampled_from(("2024-01-02", "0001-01-01", "2024-02-30", "20240102")),
    st.sampled_from(
        ("03:04:05", "23:59:59.5", "00:00:00.123456", "24:00:00", "03:04", "03:04:05.1234560", "03:04:05.")
    ),
    st.sampled_from(("", "", "", "Z", "+00", "+00:00", " ")),
)


def whole(bits: int) -> st.SearchStrategy[str]:
    end = 1 << (bits - 1)
    return (st.integers(-3, 3) | st.integers(-end, end - 1) | st.sampled_from((end - 1, -end))).map(str)


COLUMNS: dict[str, st.SearchStrategy[str]] = {
    "bool": st.sampled_from("tf"),
    "int2": whole(16),
    "int4": whole(32),
    "int8": whole(64),
    "numeric": numerals(6, 4)
    | numerals(6, 4)
    | numerals(6, 4)
    | numerals(40, 30)
    | st.sampled_from(("NaN", "Infinity", "-Infinity", "0.00", "-0.5")),
    "float4": st.floats(width=32).map(lambda value: _float(np.float32(value))),  # type: ignore[arg-type]
    "float8": st.floats().map(_float) | st.integers(-9, 9).map(str),
    "text": st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])) | WORDS | IDS | MOMENTS,
    "bpchar": WORDS.map(lambda word: word + " "),
    "uuid": IDS,
    "date": DATES,
    "time": st.times().map(lambda at: at.isoformat().rstrip("0").rstrip(".") if at.microsecond else str(at)) | CLOCK,
    "timestamp": moments(""),
    "timestamptz": moments("+00", "+00", "+00", "+08", "-03:30", "+05:53:28"),
    "bytea": st.binary(max_size=20).map(lambda data: "\\x" + data.hex()) | st.sampled_from(("abc", "\\\\x61")),
    "interval": st.sampled_from(("1 day", "00:00:01")),
}


def logical(base: Any, name: str, **more: Any) -> dict[str, Any]:
    return {**(base if isinstance(base, dict) else {"type": base}), "logicalType": name, **more}


def avro_types(number: int) -> st.SearchStrategy[Any]:
    """Types of a field; the number makes the names of named ones differ."""
    money = {"type": "fixed", "name": f"Money{number}", "size": 9}
    decimals = [logical("bytes", "decimal", precision=p, scale=s) for p, s in ((9, 2), (18, 0), (30, 20), (60, 3))]
    times = [logical("long", f"{kind}timestamp-{unit}") for kind in ("", "local-") for unit in ("millis", "micros")]
    return st.sampled_from([
        *("boolean", "int", "long", "float", "double", "bytes", "string"),
        *decimals, logical(money, "decimal", precision=20, scale=2),
        logical("int", "date"), logical("int", "time-millis"), logical("long", "time-micros"), *times,
        logical("string", "uuid"), {"type": "enum", "name": f"Enum{number}", "symbols": ["A", "B", "t"]},
        {"type": "fixed", "name": f"Fixed{number}", "size": 3},
    ])  # fmt: skip


LIKELY = {
    "bool": ["boolean"],
    "int2": ["int"],
    "int4": ["int", "long"],
    "int8": ["long"],
    "numeric": [logical("bytes", "decimal", precision=12, scale=2)],
    "float4": ["float"],
    "float8": ["double"],
    "text": [
        "string",
        "string",
        logical("int", "date"),
        logical("long", "timestamp-micros"),
        logical("long", "local-timestamp-millis"),
    ],
    "bpchar": ["string"],
    "uuid": [logical("string", "uuid"), "string"],
    "date": [logical("int", "date")],
    "time": [logical("long", "time-micros")],
    "timestamp": [logical("long", "timestamp-micros"), logical("long", "local-timestamp-micros")],
    "timestamptz": [logical("long", "timestamp-micros")],
    "bytea": ["bytes"],
}


# The most intricate ones more often.
KERNELS = [*COLUMNS, *["numeric"] * 4, *["timestamp", "timestamptz", "float4", "float8"] * 2]


class Case(NamedTuple):
    encoder: Encoder
    page: Page
    time: str
    row_id: str
    deletes: Callable[[Row], bool]
    deleted: str | None


@st.composite
def cases(draw: st.DrawFn) -> Case:
    # Kernels write only tables whose entity is one of these.
    usual = draw(st.integers(0, 9)) < 9
    kinds = [
        draw(st.sampled_from(("int8", "text", "uuid") if usual else list(COLUMNS))),
        *draw(st.lists(st.sampled_from(KERNELS), max_size=3)),
    ]
    fields: list[dict[str, Any]] = []
    for number, kind in enumerate(kinds):
        likely = st.sampled_from(LIKELY.get(kind, ["string"]))
        of = draw(avro_types(number) if draw(st.integers(0, 9)) == 9 else likely)
        of = draw(st.sampled_from([of, of, ["null", of], [of, "null"], [of]]))
        fields.append({"name": f"f{number}", "type": of})
    missing = draw(st.sampled_from([[], [], [{"name": "missing", "type": "long", "default": 7}]]))
    definition = {"type": "record", "name": "R", "fields": [*fields, *missing]}
    schema = avro.parse(json.dumps(definition))
    named = [name for name in schema.fields if not row_key.fault(schema.fields[name])]
    entity = "f0" if usual else draw(st.sampled_from([*named, "f0"]))
    key = tuple(dict.fromkeys([entity, *draw(st.lists(st.sampled_from(named)))])) if entity in named else ()
    gone = draw(st.sampled_from([None, None, SoftDelete(column="f0", values=("A", 7, True, None))])) if key else None
    rounded = {name: how for name in schema.fields if (how := draw(roundings(schema, name))) is not None}
    cursor = Cursor(time=draw(st.sampled_from(list(schema.fields)[: len(kinds)])), id="f0")
    zone = draw(st.sampled_from(ZONES))
    config = SourceConfig(subject="a.b", table="t", cursor=cursor, timezone=zone, round=rounded, deleted=gone)
    rows = draw(st.lists(st.tuples(*map(values, kinds)), max_size=6))
    page = Page(copied(kinds, rows, config), {}, [f"row {number}" for number in range(len(rows))])
    made = encoder(config, schema, entity, key, rounded)
    return Case(made, page, cursor.time, "f0", deletes(gone), None if gone is None else gone.column)


def roundings(schema: Schema, name: str) -> st.SearchStrategy[Rounding | None]:
    ways: list[Rounding] = [0, 1, 2, "days", "micros", "millis", "seconds"]
    allowed = [how for how in ways if not fault(schema.fields[name], how)]
    return st.sampled_from([None, *allowed])


def values(kind: str) -> st.SearchStrategy[bytes | None]:
    usual = COLUMNS[kind].map(str.encode)
    odd = st.sampled_from((b"x" * 5000, b"\xff", b"x" * 900_000)) if kind == "text" else usual
    return st.integers(0, 19).flatmap(lambda n: odd if n == 18 else st.none() if n == 19 else usual)


def outcome(encode: Callable[[], Any]) -> Any:
    try:
        made = encode()
    except (OverflowError, DatabaseConfigError) as error:
        return type(error)
    strings = [column.tolist() for column in (made.keys, made.values, made.headers)]
    return made.rows.tolist(), strings, sorted(made.rejected)


@given(cases())
def test_columns_equal_rows(case: Case) -> None:
    columns, places = outcome(lambda: case.encoder.encode(case.page)), case.page.places
    assert columns == outcome(lambda: case.encoder.encode(Page(list(case.page.rows), {}, places)))


@given(cases())
def test_names_in_columns_equal_those_of_rows(case: Case) -> None:
    if case.encoder._row_key is None:
        return
    by_row = Page(list(case.page.rows), {}, case.page.places)
    assert names(case.encoder, case.page) == names(case.encoder, by_row)


def names(encoder: Encoder, page: Page) -> Any:
    """The names of the page's records, and of the rows that are there."""
    try:
        records, (found, unreadable) = encoder.encode(page, named=True), encoder.names(page.rows)
    except (OverflowError, DatabaseConfigError) as error:
        return type(error)
    return records.names.tolist(), sorted(found), unreadable


@given(cases(), st.booleans())
def test_columns_of_values_equal_rows(case: Case, as_in_sqlite: bool) -> None:
    """Values as other databases' drivers give them; SQLite has numbers with decimals as integers and floats."""
    with suppress(DatabaseConfigError):  # here, psycopg does not load text of any bytes
        compare_values(case, [row for row in case.page.rows if isinstance(row, Mapping | Deleted)], as_in_sqlite)


def compare_values(case: Case, made: Sequence[Row | Deleted], as_in_sqlite: bool) -> None:
    loaded = [row.row if isinstance(row, Deleted) else row for row in made]
    rows = [tuple(in_sqlite(value) if as_in_sqlite else value for value in row.values()) for row in loaded]
    if not rows:
        return
    plain = PlainRows.of(list(loaded[0]), rows, case.deletes, case.deleted)
    assert [plain[index] for index in range(len(plain))] == list(plain)
    columns = outcome(lambda: case.encoder.encode(Page(plain, {})))
    assert columns == outcome(lambda: case.encoder.encode(Page(list(plain), {})))


def in_sqlite(value: Any) -> Any:
    if type(value) is Decimal and value.is_finite() and abs(value) < 1 << 62:
        return int(value) if value == value.to_integral_value() else float(value)
    return value


@given(cases())
def test_hashes_equal_those_of_single_rows(case: Case) -> None:
    copied_rows = case.page.rows
    assert isinstance(copied_rows, CopiedRows)
    numbers = [copied_rows.layout.column(name)[0] for name in (case.time, case.row_id)]
    whole_keys = np.flatnonzero((copied_rows.table.length[numbers] >= 0).all(axis=0))
    some = copied_rows.at(whole_keys)
    if not FetchedTable.fits(some.layout, case.time, case.row_id):
        return
    loaders = some.layout.loaders
    texts = [some.table.row(index) for index in range(len(some))]
    try:
        keys = [[loaders[number](row[number] or b"") for number in numbers] for row in texts]
    except ValueError:
        return
    made = FetchedTable(some, case.time, case.row_id)
    assert made.hashes().tolist() == [row_hash(*key) for key in keys]
    assert [repr(made.key(index)) for index in range(len(some))] == [repr(tuple(key)) for key in keys]


@given(st.sampled_from(ZONES[1:]), st.datetimes())
@example("America/New_York", datetime(2024, 3, 10, 2, 30))
@example("America/New_York", datetime(2024, 11, 3, 1, 30))
def test_offsets_are_those_of_the_zone(name: str, local: Any) -> None:
    breaks, offsets = zone_offsets(ZoneInfo(name))
    second = int((local - datetime(1970, 1, 1)).total_seconds())
    if not breaks[0] <= second < breaks[-1]:
        return
    due = local.replace(tzinfo=ZoneInfo(name)).utcoffset()
    assert offsets[np.searchsorted(breaks, second, "right") - 1] == due.total_seconds()


def test_a_text_that_is_not_utf8_rejects_its_row_alone() -> None:
    config = SourceConfig.model_validate({"subject": "a.b", "table": "t", "cursor": {"time": "f0", "id": "f0"}})
    bad, good = copied(["text"], [[b"canary \xff"], [b"fine"]], config)
    assert good == {"f0": "fine"}
    assert isinstance(bad, Bad)
    assert "not UTF-8" in bad.reason
    assert "canary" not in bad.reason
