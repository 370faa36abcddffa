"""What a sink takes in by columns is what it takes in row by row: rows, offsets, deletions and rejects."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exchange.connect import sink_columns
from exchange.connect.delivered import ROW, Delivered
from exchange.contract.key import name_schema
from exchange.names import REPLAY_HEADER, ROW_HEADER
from exchange.schema import avro, wire
from exchange.schema.project import project
from tests.rigs.examples import BYTES, INT, LONG, TEXT
from tests.rigs.inbox import BY_COLUMNS, BY_ROWS, TOPIC, Inbox, Sent, take_in
from tests.rigs.sinks import PLAIN, Reader, row

WORDS = TEXT | st.sampled_from(["a  ", "zero\0", "长的文字很长", "x" * 40])
DAYS = st.dates() | st.sampled_from([date.min, date.max, date(1999, 12, 31), date(2000, 1, 1)])
MOMENTS = st.datetimes() | st.sampled_from([datetime.min, datetime(9999, 12, 31, 23, 59, 59, 999_000)])
DECIMALS = {
    (12, 2): st.decimals(-(10**10) + 1, 10**10 - 1, places=2),
    (5, 0): st.integers(-99_999, 99_999).map(Decimal),
    (30, 7): st.integers(-(10**30) + 1, 10**30 - 1).map(lambda n: Decimal(f"{n}e-7"))  # scaleb rounds to 28 digits
    | st.just(Decimal("0.0000000")),
    (18, 18): st.integers(-(10**18) + 1, 10**18 - 1).map(lambda n: Decimal(n).scaleb(-18)),
}


def _millis(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _zoned(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC)


def _logical(base: str, name: str, **more: Any) -> dict[str, Any]:
    return {"type": base, "logicalType": name, **more}


INTEGERS = ["bigint", "integer", "smallint", "numeric", "numeric(5,1)", "double precision"]
KINDS: list[tuple[Any, st.SearchStrategy[Any], list[str]]] = [
    ("string", WORDS, ["text", "varchar", "varchar(5)", "few"]),
    ("int", INT, INTEGERS),
    ("long", LONG, INTEGERS),
    ("boolean", st.booleans(), ["boolean"]),
    ("float", st.floats(width=32), ["real", "double precision"]),
    ("double", st.floats(), ["double precision"]),
    ("bytes", BYTES, ["bytea"]),
    ({"type": "fixed", "size": 4}, st.binary(min_size=4, max_size=4), ["bytea"]),
    ({"type": "enum", "symbols": ["A", "BCD", "EFGHIJK"]}, st.sampled_from(["A", "BCD", "EFGHIJK"]),
     ["text", "varchar(3)"]),
    (_logical("int", "date"), DAYS, ["date"]),
    (_logical("int", "time-millis"), st.times().map(lambda t: t.replace(microsecond=t.microsecond // 1000 * 1000)),
     ["time", "time(3)"]),
    (_logical("long", "time-micros"), st.times() | st.just(time.max), ["time"]),
    (_logical("long", "timestamp-millis"), MOMENTS.map(_millis).map(_zoned),
     ["timestamptz", "timestamptz(3)", "timestamp"]),
    (_logical("long", "timestamp-micros"), MOMENTS.map(_zoned), ["timestamptz"]),
    (_logical("long", "local-timestamp-millis"), MOMENTS.map(_millis), ["timestamp"]),
    (_logical("string", "uuid"), st.uuids(), ["uuid", "text", "varchar(36)"]),
    *((_logical("bytes", "decimal", precision=p, scale=s), values, ["numeric", f"numeric({p},{s})"])
      for (p, s), values in DECIMALS.items()),
    (_logical("fixed", "decimal", size=11, precision=12, scale=2), DECIMALS[12, 2], ["numeric", "numeric(7,2)"]),
    ("null", st.none(), ["text"]),
]  # fmt: skip

SQLITE = {
    "few": "", "smallint": "NUMERIC", "numeric": "NUMERIC", "double precision": "REAL", "timestamptz": "TEXT",
    "timestamp": "", "uuid": "TEXT", "bytea": "BLOB", "time": "TEXT", "date": "TEXT", "boolean": "BOOLEAN",
}  # fmt: skip
"""The affinity in place of a type of PostgreSQL's."""


class Case:
    """A schema, the columns of its table, what tells rows apart, and what happens."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.handle = draw(st.integers(0, 3)) == 0
        self.key = draw(st.sampled_from([(), ("id",), ("id", "n"), ("n", "id")])) if not self.handle else (ROW,)
        fields: dict[str, Any] = {"id": "string", "n": draw(st.sampled_from(["int", "long"]))}
        self.columns = {"id": draw(st.sampled_from(["text", "varchar(3)"])), "n": "bigint"}
        self.values: dict[str, st.SearchStrategy[Any]] = {
            "id": st.sampled_from(["a", "b", "ccc", "", "é", "toolong"]),
            "n": st.integers(-1, 2),
        }
        self.has_array = draw(st.integers(0, 9)) == 0
        for i in range(draw(st.integers(1, 5))):
            node, values, columns = draw(st.sampled_from(KINDS))
            if isinstance(node, dict) and node["type"] in ("fixed", "enum"):
                node = node | {"name": f"N{i}"}
            name = f"f{i}"
            if node != "null" and draw(st.booleans()):
                node = draw(st.sampled_from([["null", node], [node, "null"], [node]]))
                values = st.none() | values if len(node) > 1 else values
            fields[name], self.values[name] = node, values
            self.columns[name] = draw(st.sampled_from(columns))
        if self.has_array:
            fields["many"], self.values["many"] = {"type": "array", "items": "long"}, st.lists(LONG, max_size=2)
            self.columns["many"] = "text"
        made = [{"name": name, "type": node} for name, node in fields.items()]
        self.schema = avro.parse(json.dumps({"type": "record", "name": "T", "fields": made}))
        names = [name for name in fields if name in ("id", "n") or draw(st.integers(0, 4)) > 0]
        self.given = self.schema if len(names) == len(fields) else project(self.schema, names)
        self.delivered = Delivered(self.given, self.key, frozenset(names))
        self.schemas = {7: self.schema, 8: self.given}
        self.check = draw(st.sampled_from(["", "CHECK (n <> 2)"]))
        self.small = draw(st.sampled_from(["bigint", "bigint", "integer", "numeric"]))
        self.row = st.fixed_dictionaries(self.values)

    def statements(self, name: str, *, is_sqlite: bool) -> list[str]:
        """The table, as a department made it; in SQLite as the sink makes it, or with other affinities."""
        own = {"_partition": self.small, "_offset": "bigint", "_time_ms": "bigint", "_replay": "text"}
        if self.handle:
            own[ROW] = "text"
        types = {n: SQLITE.get(t.split("(")[0], t) for n, t in self.columns.items()} if is_sqlite else self.columns
        columns = {n: t for n, t in types.items() if n in self.given.fields} | own
        listed = ", ".join(f"{n} {t}{' ' + self.check if n == 'n' else ''}" for n, t in columns.items())
        return [f"CREATE TABLE {name} ({listed}, PRIMARY KEY ({', '.join(self.key or ('_partition', '_offset'))}))"]


@st.composite
def cases(draw: st.DrawFn) -> tuple[Case, dict[int, list[Sent]]]:
    case = Case(draw)
    return case, {partition: draw(st.lists(_sent(case), max_size=25)) for partition in (0, 1)}


@st.composite
def _sent(draw: st.DrawFn, case: Case) -> Sent:
    what = draw(st.sampled_from(["comes"] * 8 + ["goes", "goes", "entity", "junk"]))
    row = draw(case.row)
    headers: dict[str, bytes] = {}
    if draw(st.integers(0, 5)) == 0:
        headers[REPLAY_HEADER] = draw(
            st.sampled_from([b"r-1", b"r.2_X", b"", b"-no", b"no \0 id", b"x" * 201, b"\xff"])
        )
    if draw(st.integers(0, 9)) == 0:
        headers["other"] = b"x"
    if case.handle and draw(st.integers(0, 19)):
        headers[ROW_HEADER] = bytes(15) + (row["id"].encode() + b"?")[:1]
    elif draw(st.integers(0, 29)) == 0:
        headers[ROW_HEADER] = draw(st.sampled_from([bytes(16), b"", b"junk"]))
    time_ms = draw(st.integers(0, 5))
    if what == "entity":
        return Sent(row["id"].encode(), None, headers, time_ms)
    if what == "goes":
        if not case.handle and case.key:
            named = name_schema(case.schema, case.key)
            headers[ROW_HEADER] = wire.pack(7, avro.encode(named, {name: row[name] for name in case.key}))
        return Sent(row["id"].encode(), None, headers, time_ms)
    schema_id = draw(st.sampled_from([7, 7, 7, 8]))
    schema = case.schemas[schema_id]
    body = avro.encode(schema, {name: row[name] for name in schema.fields})
    if what == "junk":
        body = draw(st.sampled_from([body[:-1], body + b"x", b"", b"\xff" * 12]))
        schema_id = draw(st.sampled_from([7, 7, 9]))
    return Sent(row["id"].encode(), wire.pack(schema_id, body), headers, time_ms)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Reader]:
    is_sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path}/reader.db" if is_sqlite else str(request.getfixturevalue("postgres_database"))
    made = Reader(url, tmp_path)
    if not is_sqlite:
        made.sql("CREATE DOMAIN few AS text CHECK (length(VALUE) <> 2)")
    yield made
    made.user.dispose()


def _result(database: Reader, case: Case, records: Mapping[int, Sequence[Sent]], folder: Path, **how: Any) -> Any:
    old = [f"DROP TABLE IF EXISTS {name}" for name in ("t", "exchange_offsets", "exchange_deletions")]
    database.sql(*old, *case.statements("t", is_sqlite=database.is_sqlite))
    with closing(database.table(case.key)) as table:
        taken = take_in(table, case.delivered, case.schemas, records, folder, **how)
        offsets = table.offsets(TOPIC, [0, 1])
    names = [*case.given.fields, "_partition", "_offset", "_time_ms", "_replay", *([ROW] if case.handle else [])]
    shown = "quote({0}) || typeof({0})" if database.is_sqlite else "{0}::text"
    rows = database.rows(", ".join(shown.format(name) for name in names))
    deleted = database.rows("entity, time_ms", "exchange_deletions")
    return taken, offsets, sorted(rows, key=repr), deleted


@pytest.mark.parametrize("examples", [25, pytest.param(500, marks=[pytest.mark.siege, pytest.mark.timeout(3_600)])])
def test_columns_make_what_rows_make(
    database: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, examples: int
) -> None:
    copied = removed = 0
    prepare = sink_columns.SinkColumns.prepare

    def counted(self: Any, runs: Any) -> Any:
        nonlocal copied, removed
        made = prepare(self, runs)
        copied += made.written if made is not None else 0
        removed += made.removed if made is not None else 0
        return made

    monkeypatch.setattr(sink_columns.SinkColumns, "prepare", counted)
    monkeypatch.setattr(sink_columns, "_RUNS", 60)

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(cases(), st.sampled_from([10_000, 9]))
    def check(drawn: tuple[Case, dict[int, list[Sent]]], at_once: int) -> None:
        case, records = drawn
        by_rows = _result(database, case, records, tmp_path, few=BY_ROWS)
        by_columns = _result(database, case, records, tmp_path, few=BY_COLUMNS, at_once=at_once)
        assert by_columns == by_rows

    check()
    assert copied > 3 * examples
    assert removed > examples // 2


@pytest.mark.parametrize("few", [BY_ROWS, BY_COLUMNS], ids=["rows", "columns"])
def test_a_name_that_its_column_would_round_is_that_of_no_row(database: Reader, tmp_path: Path, few: int) -> None:
    def of_digits(precision: int, scale: int) -> avro.Schema:
        number = _logical("bytes", "decimal", precision=precision, scale=scale)
        fields = [{"name": "id", "type": "string"}, {"name": "share", "type": number}]
        return avro.parse(json.dumps({"type": "record", "name": "T", "fields": fields}))

    delivered, earlier, key = of_digits(5, 1), of_digits(12, 2), ("id", "share")
    database.sql(
        "CREATE TABLE t (id text, share numeric(5,1), _partition bigint, _offset bigint, _time_ms bigint,"
        " _replay text, PRIMARY KEY (id, share))"
    )
    comes = [{"id": each, "share": Decimal("1.3")} for each in ("a", "b")]
    names = [(9, earlier, {"id": "a", "share": Decimal("1.25")}), (7, delivered, comes[1])]
    records = [Sent(b"k", wire.pack(7, avro.encode(delivered, each))) for each in comes]
    for schema_id, schema, name in names:
        said = wire.pack(schema_id, avro.encode(name_schema(schema, key), name))
        records.append(Sent(b"k", None, {ROW_HEADER: said}))
    with closing(database.table(key)) as table:
        given = Delivered(delivered, key, frozenset(delivered.fields))
        taken = take_in(table, given, {7: delivered, 9: earlier}, {0: records}, tmp_path, few=few)
    assert (taken.counts, taken.rejected) == ((2, 2, 0), [])
    assert database.rows("id, _offset") == [("a", 0)]


def test_while_more_keeps_coming_the_broker_collects_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(Inbox, "collect", lambda _, wait_s: waits.append(wait_s))
    database, plain = (
        Reader(f"sqlite:///{tmp_path}/reader.db", tmp_path),
        Delivered(PLAIN, ("id",), frozenset(PLAIN.fields)),
    )
    records = [Sent(b"k", wire.pack(7, avro.encode(PLAIN, row(number)))) for number in range(3)]
    with closing(database.table()) as table:
        taken = take_in(table, plain, {7: PLAIN}, {0: records}, tmp_path, few=1, at_once=1, batch=1)
    assert taken.counts.applied == len(records)
    assert waits[0] == 0  # the first came alone
    assert len(waits) == len(records)
    assert min(waits[1:]) > 0
