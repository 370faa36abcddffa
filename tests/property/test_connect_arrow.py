"""What a transform's table becomes in columns is what it becomes row by row."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from copy import copy
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from unittest.mock import patch

import pyarrow
from hypothesis import given
from hypothesis import strategies as st

from exchange.connect import table_transform
from exchange.connect.arrow_rows import ArrowRows
from exchange.connect.config import Csv, SourceConfig
from exchange.connect.database import DatabaseConfigError
from exchange.connect.page_records import encode
from exchange.connect.publish import Encoder
from exchange.connect.source import Page
from exchange.connect.table_transform import TableTransform
from exchange.schema import avro
from tests.property import test_connect_columns, test_connect_csv
from tests.property.test_connect_columns import WORDS, avro_types, logical
from tests.rigs.copied import encoder

EAST = pyarrow.timestamp("us", "Asia/Shanghai")
MICROS = logical("long", "timestamp-micros")
MOMENTS = st.datetimes() | st.sampled_from(
    (datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59), datetime(1970, 1, 1))
)
SECONDS = MOMENTS.map(lambda at: at.replace(microsecond=0))
COLUMNS: list[tuple[Any, Any, st.SearchStrategy[Any]]] = [
    (pyarrow.string(), "string", WORDS),
    (pyarrow.large_string(), logical("int", "date"), WORDS),
    (pyarrow.string(), "long", WORDS),
    (pyarrow.int64(), "long", st.integers(-(2**63), 2**63 - 1)),
    (pyarrow.uint64(), "long", st.integers(0, 2**64 - 1)),
    (pyarrow.int8(), "boolean", st.integers(-1, 2)),
    (pyarrow.bool_(), "boolean", st.booleans()),
    (pyarrow.float64(), "double", st.floats()),
    (pyarrow.float64(), logical("bytes", "decimal", precision=12, scale=4), st.floats() | st.sampled_from((0.1, 1e-5))),
    (pyarrow.float32(), "float", st.floats(width=32)),
    (
        pyarrow.decimal128(9, 3),
        logical("bytes", "decimal", precision=9, scale=2),
        st.decimals(-9999, 9999, places=3) | st.decimals(-9999, 9999, places=1),
    ),
    (pyarrow.decimal128(4, -2), "long", st.sampled_from((0, 100, -700))),
    (pyarrow.date32(), logical("int", "date"), st.dates()),
    (pyarrow.timestamp("us"), MICROS, MOMENTS),
    (pyarrow.timestamp("ms"), logical("long", "local-timestamp-millis"), SECONDS),
    (pyarrow.timestamp("s"), MICROS, st.integers(-(10**11), 10**12)),
    (pyarrow.timestamp("ns"), MICROS, st.integers(-(10**18), 10**18)),
    (EAST, MICROS, st.datetimes(datetime(1800, 1, 1), datetime(2300, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))),
    (pyarrow.time64("us"), logical("long", "time-micros"), st.times()),
    (pyarrow.binary(), "bytes", st.binary(max_size=3)),
    (pyarrow.list_(pyarrow.string()), {"type": "array", "items": "string"}, st.lists(st.just("a"), max_size=2)),
    (pyarrow.duration("us"), "long", st.timedeltas(timedelta(0), timedelta(9))),
    (pyarrow.null(), ["null", "string"], st.none()),
]  # fmt: skip


class Case(NamedTuple):
    encoder: Encoder
    columns: dict[str, Any]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    chosen = [draw(st.sampled_from(COLUMNS[:4])), *draw(st.lists(st.sampled_from(COLUMNS), max_size=3))]
    count = draw(st.integers(1, 5))
    fields, columns = [], {}
    for number, (kind, usual, values) in enumerate(chosen):
        of = draw(avro_types(number)) if number and draw(st.integers(0, 9)) == 9 else usual
        made = draw(st.sampled_from([of, of if isinstance(of, list) else ["null", of]]))
        fields.append({"name": f"f{number}", "type": made})
        some = draw(st.lists(values | values | values | st.none(), min_size=count + 1, max_size=count + 1))
        at = draw(st.integers(1, count))
        columns[f"f{number}"] = pyarrow.chunked_array([pyarrow.array(part, kind) for part in (some[1:at], some[at:])])
    schema = avro.parse(json.dumps({"type": "record", "name": "R", "fields": fields}))
    config = SourceConfig(subject="a.b", csv=Csv(folder="", null=draw(st.sampled_from(("", "7", "true")))))
    return Case(encoder(config, schema, "f0", (), {}), columns)


def outcome(made: Encoder, rows: Any) -> Any:
    records = encode(made, Page(rows, {}, [f"row {number}" for number in range(len(rows))]))
    strings = [column.tolist() for column in (records.keys, records.values, records.headers)]
    return records.rows.tolist(), strings, sorted(records.rejected)


@given(cases())
def test_columns_equal_rows(case: Case) -> None:
    rows = ArrowRows(case.columns)
    singly = [rows[index] for index in range(len(rows))]
    assert repr(list(rows)) == repr(singly)  # floats that are no number are not equal
    assert outcome(case.encoder, rows) == outcome(case.encoder, singly)


@given(test_connect_csv.cases())
def test_a_transform_that_changes_nothing_changes_nothing(case: test_connect_csv.Case) -> None:
    due = list(test_connect_csv.pages(case, 1000))
    transforms = copy(case.encoder)
    transforms._transform = TableTransform("income", lambda table: table)
    with patch.object(table_transform, "MANY", 1):
        assert list(test_connect_csv.pages(case._replace(encoder=transforms), 1000)) == due


@given(test_connect_columns.cases())
def test_a_table_of_a_databases_columns_is_that_of_its_rows(case: test_connect_columns.Case) -> None:
    assert given_to(lambda: case.page.rows) == given_to(lambda: list(case.page.rows))


def given_to(read: Callable[[], Sequence[Any]]) -> Any:
    """The tables that a function gets, and what becomes of them."""
    tables: list[Any] = []

    def income(table: Any) -> Any:
        tables.append((table.schema, repr(table.to_pylist())))
        return table

    try:
        made = [(list(indexes), repr(list(some))) for indexes, some in TableTransform("income", income).pieces(read())]
    except (OverflowError, DatabaseConfigError) as error:
        return type(error)
    return tables, made
