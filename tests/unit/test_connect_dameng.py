"""Dameng without a Dameng: a source sends the statements recorded here; what becomes of values, and of tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import mssql, oracle

from exchange.connect import sink_layout
from exchange.connect.config import Database
from exchange.connect.database import DatabaseConfigError, DatabaseUnavailableError, engine, translated
from exchange.connect.dialects.dameng import CursorCutError
from exchange.connect.dialects.dameng_catalog import type_of
from exchange.connect.sink_layout import Layout
from exchange.connect.source import Bad
from exchange.connect.sql_source import SqlSource
from tests.rigs.dameng import DRIVER, Dameng
from tests.rigs.sql_source import HERE, SECRET, converted, decimal, source, sweep

URL = "dm://exchange:secret@db.tax:5237"
AT = datetime(2025, 3, 1, 4, 5, 6, 123456)
LATER = AT + timedelta(seconds=1)
INSTANT = {"type": "long", "logicalType": "timestamp-micros"}
LOCAL = {"type": "long", "logicalType": "local-timestamp-micros"}
DAY = {"type": "int", "logicalType": "date"}
CLOCK = {"type": "long", "logicalType": "time-micros"}
ID, TIME = (DRIVER.BIGINT, 0), (DRIVER.TIMESTAMP, 6)
OF_TABLE = '"TAX"."INCOME"'


def income(**config: Any) -> SqlSource:
    return source(URL, table="tax.income", lookback_s=10, **config)


def test_a_sweep_sends_what_is_recorded(dameng: Dameng) -> None:
    dameng.columns = {"ID": ID, "AT": TIME, "SEEN": (DRIVER.TIMESTAMP_WITH_TIMEZONE, 6), "Name": (DRIVER.STRING, 0)}
    seen = "2025-03-01 04:05:06.123456000 +08:00"
    dameng.answers = [[(LATER,)], [(1, AT, seen, "广州"), (2, LATER, None, None)], [(2, LATER, None, None)]]
    rows = sweep(income(fetch_rows=1, cursor={"time": "at", "id": "id"}), {})
    assert rows == [
        {"id": 1, "at": AT, "seen": seen, "Name": "广州"},
        {"id": 2, "at": LATER, "seen": None, "Name": None},
    ]
    columns = f'SELECT {OF_TABLE}."ID", {OF_TABLE}."AT", to_char({OF_TABLE}."SEEN",'
    columns += f' \'YYYY-MM-DD HH24:MI:SS.FF9 TZH:TZM\') AS "TO_CHAR_1", {OF_TABLE}."Name" FROM {OF_TABLE}'
    there = f'WHERE {OF_TABLE}."AT" IS NOT NULL AND {OF_TABLE}."ID" IS NOT NULL'
    order = f'ORDER BY {OF_TABLE}."AT", {OF_TABLE}."ID" FETCH FIRST 2 ROWS ONLY'
    every = ", ".join(f'{OF_TABLE}."{name}"' for name in dameng.columns)
    assert dameng.said == [
        (f"SELECT * FROM {OF_TABLE} FETCH FIRST 0 ROWS ONLY", []),
        (f"SELECT {every} FROM {OF_TABLE} FETCH FIRST 0 ROWS ONLY", []),
        (f"SELECT {OF_TABLE}.\"AT\" FROM {OF_TABLE} WHERE {OF_TABLE}.\"AT\" IS NOT NULL"
         f" ORDER BY {OF_TABLE}.\"AT\" DESC FETCH FIRST 20 ROWS ONLY", []),
        (f"{columns} {there} {order}", []),
        (f"{columns} {there} AND {OF_TABLE}.\"AT\" >= ? AND ({OF_TABLE}.\"AT\" > ? OR {OF_TABLE}.\"ID\" > ?) {order}",
         [AT, AT, 1]),
    ]  # fmt: skip


def test_a_query_is_read_as_it_is_written(dameng: Dameng) -> None:
    dameng.columns, dameng.answers = {"ID": ID, "AT": TIME}, [[(AT,)], []]
    sweep(source(URL, query="SELECT id, at FROM INCOME WHERE note = ':word'; -- all"), {})
    assert dameng.said[0][0] == (
        "SELECT * FROM (SELECT id, at FROM INCOME WHERE note = ':word') \"ORIGIN\" FETCH FIRST 0 ROWS ONLY"
    )


def test_a_session_waits_for_nothing_for_ever_and_speaks_utf_8(dameng: Dameng) -> None:
    dameng.columns, dameng.answers = {"ID": ID, "AT": TIME}, [[], []]
    sweep(source(URL, table="income", timeout_s=6.5), {})
    assert dameng.given == {
        "user": "exchange", "password": "secret", "server": "db.tax", "port": 5237, "autoCommit": False,
        "connection_timeout": 7, "login_timeout": 10, "local_code": DRIVER.PG_UTF8, "app_name": "exchange",
    }  # fmt: skip


def test_a_login_without_a_password_has_an_empty_one(dameng: Dameng) -> None:
    """The driver takes no None."""
    dameng.columns, dameng.answers = {"ID": ID, "AT": TIME}, [[], []]
    sweep(source("dm://db.tax", table="income"), {})
    assert (dameng.given["user"], dameng.given["password"], dameng.given["port"]) == ("", "", 5236)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ((DRIVER.TIMESTAMP, 6), '"INCOME"."V"'),
        ((DRIVER.TIMESTAMP, 9), 'to_char("INCOME"."V", \'YYYY-MM-DD HH24:MI:SS.FF9\') AS "TO_CHAR_1"'),
        ((DRIVER.TIME, 6), 'to_char("INCOME"."V", \'HH24:MI:SS.FF6\') AS "TO_CHAR_1"'),
        ((DRIVER.REAL, 0), 'CAST("INCOME"."V" AS DOUBLE PRECISION) AS "V"'),
        ((DRIVER.FIXED_BINARY, 2001), 'CAST("INCOME"."V" AS BLOB) AS "V"'),
        ((DRIVER.FIXED_STRING, 2001), 'CAST("INCOME"."V" AS CLOB) AS "V"'),
        ((DRIVER.FIXED_STRING, 2000), '"INCOME"."V"'),
        ((DRIVER.DECIMAL, 2), '"INCOME"."V"'),
    ],
)
def test_what_the_driver_would_cut_off_comes_otherwise(dameng: Dameng, column: Any, expected: str) -> None:
    dameng.columns = {"ID": ID, "AT": TIME, "V": column}
    dameng.answers = [[(AT,)], []]
    sweep(source(URL, table="income"), {})
    assert dameng.said[3][0].startswith(f'SELECT "INCOME"."ID", "INCOME"."AT", {expected} FROM "INCOME"')


@pytest.mark.parametrize("of_type", [(DRIVER.TIMESTAMP, 9), (DRIVER.TIMESTAMP_WITH_TIMEZONE, 6), (DRIVER.TIME, 0)])
def test_a_cursor_of_which_the_driver_cuts_something_off_is_refused(dameng: Dameng, of_type: Any) -> None:
    dameng.columns, dameng.answers = {"ID": ID, "AT": of_type}, [[(AT,)], []]
    with pytest.raises(CursorCutError, match="the driver cuts something off"):
        sweep(source(URL, table="income"), {})


@pytest.mark.parametrize(
    ("given", "kind", "wanted"),
    [
        (7, "long", 7),
        (Decimal("12345678901234567890"), decimal(20, 0), Decimal("12345678901234567890")),
        (Decimal("7.0"), "long", 7),
        (Decimal("0.125"), decimal(12, 2), None),
        (True, "boolean", True),
        (0.1, "double", 0.1),
        (date(2025, 3, 1), DAY, date(2025, 3, 1)),
        (AT, LOCAL, AT),
        (datetime(2025, 3, 1, 8), INSTANT, datetime(2025, 3, 1, tzinfo=UTC)),
        ("2025-03-01 08:00:00.000000000 +08:00", INSTANT, datetime(2025, 3, 1, tzinfo=UTC)),
        ("2025-03-01 04:05:06.123456001", LOCAL, None),
        ("04:05:06.000007", CLOCK, (datetime(1, 1, 1, 4, 5, 6, 7)).time()),
        ("广州 😀", "string", "广州 😀"),
        ("a  ", "string", "a  "),
        (SimpleNamespace(read=lambda: "long"), "string", "long"),
        (SimpleNamespace(read=lambda: b"\0\xff"), "bytes", b"\0\xff"),
    ],
)
def test_a_value_comes_as_it_is_or_its_row_is_rejected(dameng: Dameng, given: Any, kind: Any, wanted: Any) -> None:
    dameng.columns = {"ID": ID, "AT": TIME, "V": (DRIVER.STRING, 0)}
    dameng.answers = [[(AT,)], [(1, AT, given)]]
    [row] = sweep(source(URL, table="income"), {})
    assert converted(kind, row["v"]) == wanted


def test_a_value_that_python_does_not_have_spoils_only_its_row(dameng: Dameng) -> None:
    dameng.columns = {"ID": ID, "AT": TIME, "V": (DRIVER.DATE, 0)}
    good, bad = (1, AT, None), ValueError(f"year is out of range {SECRET}")
    dameng.answers = [[(LATER,)], [good, bad], [(AT, 1), (LATER, 2)], [good, bad], [good], [bad]]
    row, spoilt = sweep(source(URL, table="income"), {})
    assert row["id"] == 1
    assert isinstance(spoilt, Bad)
    assert SECRET not in spoilt.reason
    assert dameng.connections == 3  # of the others nobody knows what the driver does


@pytest.mark.parametrize(
    ("number", "words", "waits"),
    [
        (-2106, "there is no such table (error -2106)", False),
        (-2111, "there is no such column (error -2111)", False),
        (-2103, "there is no such schema", False),
        (-5504, "a right is missing", False),
        (-6103, "a value cannot be computed", False),
        (-6403, "another transaction was in the way", True),
        (-6407, "another program holds a lock", True),
        (-523, "the disk of the database is full", True),
        (-2501, "the login is refused", False),
        (-70028, "the database does not answer", True),
        (-70019, "the connection was lost", True),
        (-70089, "the driver's library for encryption does not load", False),
        (-20000, "a function or trigger of the database refuses", False),
        (-1, "the database refuses (error -1)", False),
        (0, "the database refuses (Error)", False),
    ],
)
def test_an_error_is_told_by_its_cause_and_quotes_nothing(number: int, words: str, waits: bool) -> None:
    with pytest.raises((DatabaseConfigError, DatabaseUnavailableError)) as caught, translated("read tax.income"):
        raise DRIVER.of(number, SECRET)
    assert words in caught.value.message
    assert isinstance(caught.value, DatabaseUnavailableError) == waits
    assert SECRET not in str(caught.value)


def test_a_lost_connection_is_given_up(dameng: Dameng) -> None:
    made = engine(Database(url=URL), HERE, writes=True)
    assert made.dialect.is_disconnect(DRIVER.of(-70019), None, None)
    assert not made.dialect.is_disconnect(DRIVER.of(-6602), None, None)


@pytest.mark.parametrize(
    ("described", "expected"),
    [
        (("VARCHAR", 40, None, None), sa.VARCHAR(40)),
        (("NUMBER", 22, 12, 2), oracle.NUMBER(12, 2)),
        (("NUMBER", 22, None, None), oracle.NUMBER(38, 0)),  # whether it keeps decimals, nobody knows
        (("TIMESTAMP(6)", 8, 26, 6), sa.TIMESTAMP()),
        (("DATETIME", 8, 26, 6), sa.TIMESTAMP()),
        (("TIMESTAMP(6) WITH TIME ZONE", 8, 26, 6), sa.types.NullType()),
        (("TIMESTAMP(6) WITH LOCAL TIME ZONE", 8, 26, 6), sa.types.NullType()),
        (("CHAR", 40, None, None), sa.types.NullType()),
        (("REAL", 4, None, None), sa.types.NullType()),
        (("DOUBLE", 8, None, None), sa.DOUBLE_PRECISION()),
        (("TEXT", 0, None, None), sa.CLOB()),
        (("TINYINT", 1, None, None), mssql.TINYINT()),
    ],
)
def test_a_type_that_is_not_known_is_none(described: Sequence[Any], expected: Any) -> None:
    found = type_of(*described)
    assert repr(found) == repr(expected)


SETTINGS, COARSE = "SF_GET_UNICODE_FLAG()", "data_scale < 6"


def layout(dameng: Dameng, settings: tuple[int, int, int, int] = (1, 1, 0, 0)) -> Layout:
    """What a sink finds out about its table."""
    dameng.catalogue = {
        SETTINGS: [settings],
        COARSE: [("MOMENT", 3)],
        "COUNT(*)": [(1,)],
        "data_default": [
            ("ID", "VARCHAR", 40, None, None, "N", None),
            ("_PARTITION", "NUMBER", 22, 19, 0, "N", None),
            ("MOMENT", "TIMESTAMP(3)", 8, 23, 3, "Y", None),
            ("Level", "NUMBER", 22, 12, 2, "N", "0"),
        ],
        "all_constraints": [("PK", "ID"), ("PK", "Level")],
        "all_indexes": [("U", "MOMENT")],
    }
    made = engine(Database(url=URL), HERE, writes=True)
    with made.connect() as connection:
        found = sink_layout.read(connection, "income", "tax")
    made.dispose()
    assert found is not None
    return found


def test_a_sink_finds_out_how_its_table_is(dameng: Dameng) -> None:
    found = layout(dameng)
    assert list(found.columns) == ["id", "_partition", "moment", "level"]
    assert found.primary == {"id", "level"}
    assert found.unique == {frozenset({"id", "level"}), frozenset({"moment"})}
    assert found.required == {"id", "_partition"}
    assert found.cautions.coarse == {"moment": 3}
    assert found.cautions.pads
    assert not found.cautions.nulls_empty


@pytest.mark.parametrize(
    ("settings", "words", "nulls_empty"),
    [
        ((1, 1, 0, 0), None, False),
        ((1, 1, 2, 1), None, True),
        ((0, 1, 0, 0), "the database is not in UTF-8 (CHARSET 1), and may replace characters", False),
        ((1, 0, 0, 0), "the database takes texts for equal that differ in case (CASE_SENSITIVE 0)", False),
        ((1, 1, 4, 0), "what the database does with values in its COMPATIBLE_MODE 4 is unknown", False),
    ],
)
def test_settings_with_which_a_sink_would_spoil_values_are_refused(
    dameng: Dameng, settings: tuple[int, int, int, int], words: str | None, nulls_empty: bool
) -> None:
    found = layout(dameng, settings).cautions
    assert (found.fault, found.nulls_empty) == (words, nulls_empty)


def test_a_moment_goes_in_utc_by_itself_too(dameng: Dameng) -> None:
    made = engine(Database(url=URL), HERE, writes=True)
    there = datetime(2025, 3, 1, 8, tzinfo=timezone(timedelta(hours=8)))
    with made.begin() as connection:
        connection.execute(sa.text("UPDATE INCOME SET at = :at"), {"at": there})
    made.dispose()
    assert dameng.said == [("UPDATE INCOME SET at = ?", [datetime(2025, 3, 1)])]
