"""A transform of a table drops, maps and rejects single rows, as the row's form does; what is wrong with it is said."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from copy import copy
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow
import pyarrow.compute as pc
import pytest

from exchange.connect import user_code
from exchange.connect.config import Csv, Cursor, SourceConfig
from exchange.connect.convert import converter
from exchange.connect.copied import CopiedRows
from exchange.connect.extras import MissingExtraError
from exchange.connect.page_records import Records
from exchange.connect.publish import Encoder
from exchange.connect.source import Bad, Deleted, Page, Unreadable
from exchange.connect.table_transform import ROW, TableTransform
from exchange.connect.user_code import UserCodeError
from exchange.contract.model import Entity, Subject, Title
from exchange.schema import avro
from tests.rigs.copied import copied
from tests.rigs.copied import encoder as copied_encoder
from tests.rigs.sinks import schema

SCHEMA = avro.parse(
    json.dumps(
        {
            "type": "record",
            "name": "R",
            "fields": [{"name": "id", "type": "string"}, {"name": "year", "type": ["null", "long"], "default": None}],
        }
    )
)
MOMENTS = schema(id="string", at={"type": "long", "logicalType": "timestamp-micros"})
SUBJECT = Subject(
    name="b", owner="a", title=Title(zh="表", en="T"), schema="x.avsc", share="open",
    entity=Entity(field="id", kind="person"),
)  # fmt: skip


def encode(rows: list[Any], function: Callable[[Any], Any]) -> Records:
    encoder = Encoder(SUBJECT, 7, SCHEMA, converter(SCHEMA, {}), TableTransform("income", function))
    return encoder.encode(Page(rows, {}, [f"line {index}" for index in range(len(rows))]))


def rows(count: int) -> list[dict[str, Any]]:
    return [{"id": f"a{number}", "year": number} for number in range(count)]


def ids(made: Records) -> list[str]:
    return [(key or b"").decode() for key in made.keys.tolist()]


@pytest.mark.parametrize("count", [1, 7, 500])
def test_rows_are_dropped_put_in_order_and_changed(count: int) -> None:
    def income(table: Any) -> Any:
        table = table.filter(pc.not_equal(table["year"], 3)).sort_by([("year", "descending")])
        return table.set_column(0, "id", pc.utf8_upper(table["id"]))

    made = encode(rows(count), income)
    kept = [number for number in range(count) if number != 3]
    assert made.rows.tolist() == kept
    assert ids(made) == [f"A{number}" for number in kept]
    assert made.rejected == []


def test_a_table_without_numbers_is_of_the_same_rows_in_their_order() -> None:
    made = encode(rows(3), lambda table: pyarrow.table({"id": pc.utf8_upper(table["id"])}))
    assert ids(made) == ["A0", "A1", "A2"]


def test_an_error_rejects_the_rows_that_raise_it() -> None:
    def income(table: Any) -> Any:
        if pc.any(pc.is_in(table["year"], pyarrow.array([7, 123]))).as_py():
            sys.exit("secret")
        return table

    made = encode([*rows(300), Bad("not CSV"), 7], income)
    assert len(made.rows) == 298
    reason = "income raised SystemExit"
    bad = [("line 123", reason), ("line 300", "not CSV"), ("line 301", "int, not a mapping"), ("line 7", reason)]
    assert sorted(made.rejected) == bad


FAULTS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "nothing": (lambda table: None, "income returned NoneType, not a pyarrow.Table"),
    "columns": (lambda table: table["id"], "income returned ChunkedArray, not a pyarrow.Table"),
    "fewer": (
        lambda table: table.drop_columns([ROW])[:2],
        f"income returned 2 rows for 4, without the column {ROW} that says which they are",
    ),
    "twice": (
        lambda table: pyarrow.concat_tables([table, table]),
        f"income returned a column {ROW} in which not every number is another row's",
    ),
    "others": (
        lambda table: table.set_column(2, ROW, pyarrow.array([0, 1, 2, 4])),
        f"income returned a column {ROW} in which not every number is another row's",
    ),
    "no number": (
        lambda table: table.set_column(2, ROW, pyarrow.array([0, 1, 2, None])),
        f"income returned a column {ROW} in which not every number is another row's",
    ),
    "one name": (lambda table: table.append_column("id", table["id"]), "income returned two columns of one name"),
    "nanoseconds": (
        lambda table: table.set_column(1, "year", pyarrow.array([1] * len(table), pyarrow.timestamp("ns"))),
        "year: a value that Python cannot hold where a whole number is due",
    ),
    "no such column": (lambda table: table.select(["year", ROW]), "id: missing"),
    "other values": (
        lambda table: table.set_column(0, "id", pyarrow.array([1] * len(table))),
        "id: int where text is due",
    ),
    "no whole numbers": (
        lambda table: table.set_column(2, ROW, pyarrow.array([0.0, 1.0, 2.0, 3.0])),
        f"income returned a column {ROW} in which not every number is another row's",
    ),
    "numbers that Python cannot hold": (
        lambda table: table.set_column(2, ROW, table[ROW].combine_chunks().view(pyarrow.duration("ns"))),
        f"income returned a column {ROW} in which not every number is another row's",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("function", "reason"), FAULTS.values(), ids=FAULTS)
def test_what_is_no_table_of_these_rows_rejects_them_all(function: Callable[[Any], Any], reason: str) -> None:
    made = encode(rows(4), function)
    assert len(made.rows) == 0
    assert sorted(made.rejected) == [(f"line {number}", reason) for number in range(4)]


VALUES: list[Any] = [
    *("", "穗", 0, -(2**63), 0.1, float("inf"), True, b"\xff", Decimal("1.50"), Decimal("-7")),
    *(date(1, 1, 1), date(9999, 12, 31), datetime(2026, 1, 2, 3, 4, 5, 6), datetime(2026, 1, 2, tzinfo=UTC)),
    *(None, ["a", None], [{"a": 1}, {"b": 2}], {"a": [1]}, [], UUID(int=7)),
]


def test_values_come_back_as_they_went() -> None:
    seen = {}

    def income(table: Any) -> Any:
        seen.update(zip(table["n"].to_pylist(), table["v"].to_pylist(), strict=True))
        return table

    list(TableTransform("income", income).pieces([{"n": n, "v": value} for n, value in enumerate(VALUES)]))
    kept = {n: str(value) if isinstance(value, UUID) else value for n, value in enumerate(VALUES)}
    lost = kept.keys() - seen.keys()
    assert [VALUES[n] for n in lost] == [[{"a": 1}, {"b": 2}]]  # in Arrow, both would have both
    assert {n: (type(value), value) for n, value in seen.items()} == {
        n: (type(value), value) for n, value in kept.items() if n not in lost
    }


@pytest.mark.parametrize("value", [Unreadable("infinity", "date"), 2**70, "\udcff", Decimal("NaN"), object()])
def test_a_value_that_arrow_does_not_hold_rejects_its_row(value: Any) -> None:
    made = encode([*rows(200), {"id": "x", "year": value}], lambda table: table)
    assert len(made.rows) == 200
    assert made.rejected == [("line 200", "income cannot get the column year: Arrow does not hold its values")]


def test_a_time_keeps_its_zone_or_its_row_is_rejected() -> None:
    aware = time(12, tzinfo=timezone(timedelta(hours=8)))
    made = encode([{"id": "a", "year": 1, "at": time(12)}, {"id": "b", "year": 1, "at": aware}], lambda table: table)
    assert ids(made) == ["a"]
    assert made.rejected == [("line 1", "income cannot get the column at: Arrow does not hold its values")]


def encode_as_a_connector(given: list[Any], of: avro.Schema, function: Callable[[Any], Any]) -> Records:
    """With columns for many rows, as a connector has them."""
    encoder = copy(copied_encoder(SourceConfig(subject="a.b", csv=Csv(folder="")), of, "id", (), {}))
    encoder._transform = TableTransform("income", function)
    return encoder.encode(Page(given, {}, ["line"] * len(given)))


def test_what_becomes_of_a_long_whole_number_is_the_same_beside_a_fraction() -> None:
    money = schema(id="string", n={"type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 2})
    given = [{"id": "a", "n": 9_007_199_254_740_991}, {"id": "b", "n": 1.5}]
    made = encode_as_a_connector(given, money, lambda table: table)
    assert (ids(made), made.rejected) == (["a", "b"], [])


@pytest.mark.parametrize("count", [1, 500])
def test_a_column_that_is_no_field_may_hold_what_python_cannot(count: int) -> None:
    def income(table: Any) -> Any:
        return table.append_column("at", pyarrow.array([1] * len(table), pyarrow.timestamp("ns")))

    made = encode_as_a_connector(rows(count), SCHEMA, income)
    assert (len(made.rows), made.rejected) == (count, [])


@pytest.mark.parametrize("count", [1, 500])
def test_a_moment_in_a_zone_that_nobody_knows_rejects_its_row(count: int) -> None:
    def income(table: Any) -> Any:
        return table.append_column("at", pyarrow.array([0] * len(table), pyarrow.timestamp("us", "No/Where")))

    made = encode_as_a_connector(rows(count), MOMENTS, income)
    assert (len(made.rows), set(made.rejected)) == (
        0,
        {("line", "at: a value that Python cannot hold where a timestamp is due")},
    )


def test_a_column_keeps_its_type_where_it_has_only_nulls() -> None:
    types = []
    transform = TableTransform("income", lambda table: types.append(table["v"].type) or table)
    for value in (None, 1, None):
        list(transform.pieces([{"v": value}]))
    assert types == [pyarrow.null(), pyarrow.int64(), pyarrow.int64()]


def test_deleted_rows_are_a_table_of_their_own() -> None:
    given = [{"id": "a", "year": 1}, Deleted({"id": "b"}), {"id": "c", "year": 1}, Deleted({"id": "d"})]
    columns = []

    def income(table: Any) -> Any:
        columns.append(table.column_names)
        return table.filter(pc.not_equal(table["id"], "d"))

    pieces = TableTransform("income", income).pieces(given)
    found = {index: row for indexes, made in pieces for index, row in zip(indexes, made, strict=True)}
    assert columns == [["id", "year", ROW], ["id", ROW]]
    assert found == dict(enumerate(given[:3]))


def code(folder: Path, line: str) -> Any:
    (folder / "transform.py").write_text(line + "\n")
    return user_code.transform(folder, "transform.py:income")


def test_the_argument_says_which_form_it_is(tmp_path: Path) -> None:
    table = code(tmp_path, "def income(table, *, rate=2): return table")
    assert isinstance(table, TableTransform)
    assert table({"id": "a"}) == {"id": "a"}
    assert code(tmp_path, "def income(row): return row")({"id": "a"}) == {"id": "a"}
    assert code(tmp_path, "income = dict")({"id": "a"}) == {"id": "a"}


@pytest.mark.parametrize("arguments", ["", "table, rate", "*, table", "row, other"])
def test_other_arguments_are_refused(tmp_path: Path, arguments: str) -> None:
    with pytest.raises(UserCodeError, match=r"transform.py:income does not take one argument"):
        code(tmp_path, f"def income({arguments}): return 0")


def test_arrow_has_to_be_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"pyarrow is not installed"):
        code(tmp_path, "def income(table): return table")


def test_a_databases_rows_come_as_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    types = ["text", "int8", "bool", "float8", "date", "timestamp", "timestamptz", "uuid", "numeric", "bytea"]
    texts = ["a", "7", "t", "1.5", "2024-01-02", "2024-01-02 03:04:05.5", "2024-01-02 03:04:05+00", str(UUID(int=1))]
    row = [text.encode() for text in [*texts, "1.50", "\\x00ff"]]
    config = SourceConfig(subject="a.b", table="t", cursor=Cursor(time="f5", id="f0"))
    page = copied(types, [row, [None] * len(row)], config)
    monkeypatch.setattr(CopiedRows, "__getitem__", None)
    tables: list[Any] = []
    list(TableTransform("income", lambda table: tables.append(table) or table).pieces(page))
    moment = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
    value = ["a", 7, True, 1.5, date(2024, 1, 2), datetime(2024, 1, 2, 3, 4, 5, 500_000), moment, str(UUID(int=1))]
    [table] = tables
    rows = [list(each.values()) for each in table.to_pylist()]
    assert rows == [[*value, Decimal("1.50"), b"\x00\xff", 0], [*[None] * len(row), 1]]
