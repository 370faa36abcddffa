"""SQL Server without a SQL Server: a source sends the statements recorded here; what becomes of values."""

from __future__ import annotations

import socket
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytds
import pytest
import sqlalchemy as sa
from OpenSSL import SSL
from pytds.tds_base import _create_exception_by_message

from exchange.connect.config import Database
from exchange.connect.database import DatabaseConfigError, DatabaseUnavailableError, engine, translated
from exchange.connect.dialects import sqlserver_session
from exchange.connect.source import Bad
from exchange.connect.sql_source import SqlSource
from tests.rigs.sql_source import HERE, SECRET, converted, decimal, source, sweep
from tests.rigs.sqlserver import SqlServer

URL = "mssql://exchange:secret@db.tax:1434/tax"
AT = "2025-03-01T04:05:06.1234567"
LATER = "2025-03-01T04:05:07.0000000"
INSTANT = {"type": "long", "logicalType": "timestamp-micros"}
LOCAL = {"type": "long", "logicalType": "local-timestamp-micros"}
DAY = {"type": "int", "logicalType": "date"}
COLUMNS = "tax.income.id, convert(nvarchar(30), tax.income.at, 126) AS convert_1, tax.income.name"
KEY = "convert(varbinary(8000), convert(nvarchar(4000), tax.income.id))"


def income(**config: Any) -> SqlSource:
    return source(URL, table="tax.income", lookback_s=10, **config)


def test_a_sweep_sends_what_is_recorded(sql_server: SqlServer) -> None:
    sql_server.columns = {"id": "nvarchar(40)", "at": "datetime2(7)", "name": "nvarchar(max)"}
    sql_server.answers = [[(LATER,)], [("a", AT, "广州"), ("b", LATER, None)], [("b", LATER, None)]]
    rows = sweep(income(fetch_rows=1, cursor={"time": "at", "id": "id"}), {})
    assert rows == [{"id": "a", "at": AT, "name": "广州"}, {"id": "b", "at": LATER, "name": None}]
    there = "WHERE tax.income.at IS NOT NULL AND tax.income.id IS NOT NULL"
    assert sql_server.said == [
        ("SELECT TOP 0 * FROM tax.income", {}),
        ("SELECT name, system_type_name FROM sys.dm_exec_describe_first_result_set(%(query)s, NULL, 0)"
         " WHERE is_hidden = 0 ORDER BY column_ordinal",
         {"query": "SELECT TOP 0 tax.income.id, tax.income.at, tax.income.name \nFROM tax.income"}),
        ("SELECT TOP 20 convert(nvarchar(30), tax.income.at, 126) AS convert_1 FROM tax.income"
         " WHERE tax.income.at IS NOT NULL ORDER BY tax.income.at DESC", {}),
        (f"SELECT TOP 2 {COLUMNS} FROM tax.income {there} ORDER BY tax.income.at, {KEY}", {}),
        (f"SELECT TOP 2 {COLUMNS} FROM tax.income {there} AND tax.income.at >= %(param_2)s"
         f" AND (tax.income.at > %(param_2)s OR {KEY} > %(param_3)s) ORDER BY tax.income.at, {KEY}",
         {"param_2": AT, "param_3": "a".encode("utf-16-le")}),
    ]  # fmt: skip
    assert type(sql_server.said[-1][1]["param_3"]) is pytds.Binary  # other bytes would go as text


def test_a_session_waits_for_nothing_for_ever_and_cuts_nothing_off(sql_server: SqlServer) -> None:
    sql_server.columns, sql_server.answers = {"id": "int", "at": "datetime2(3)"}, [[], []]
    sweep(source(URL, table="income", timeout_s=7), {})
    assert sql_server.given == {
        "host": "db.tax", "port": 1434, "database": "tax", "user": "exchange", "password": "secret", "timeout": 7,
        "login_timeout": 10.0, "cafile": None, "appname": "exchange",
    }  # fmt: skip
    assert sql_server.session == (
        "SET ANSI_WARNINGS ON; SET ANSI_PADDING ON; SET XACT_ABORT OFF; SET LOCK_TIMEOUT 15000"
    )


@pytest.mark.parametrize(
    ("of_type", "expected"),
    [
        ("datetime2(6)", "income.v"),
        ("datetime2(7)", "convert(nvarchar(30), income.v, 126) AS convert_1"),
        ("datetime", "convert(nvarchar(30), income.v, 126) AS convert_1"),
        ("datetimeoffset(7)", "convert(nvarchar(40), income.v, 127) AS convert_1"),
        ("datetimeoffset(3)", "income.v"),
        ("time(7)", "convert(nvarchar(20), income.v) AS convert_1"),
        ("varchar(9)", "income.v"),
    ],
)
def test_what_the_driver_would_cut_off_comes_as_text(sql_server: SqlServer, of_type: str, expected: str) -> None:
    sql_server.columns = {"id": "int", "at": "datetime2(3)", "v": of_type}
    sql_server.answers = [[(datetime(2025, 3, 1),)], []]
    sweep(source(URL, table="income"), {})
    assert sql_server.said[-1][0].startswith(f"SELECT TOP 20001 income.id, income.at, {expected} FROM income")


@pytest.mark.parametrize(
    ("given", "kind", "wanted"),
    [
        (7, "long", 7),
        (Decimal("12345678901234567890"), decimal(20, 0), Decimal("12345678901234567890")),
        (Decimal("0.1250"), decimal(12, 2), None),  # money
        (True, "boolean", True),
        (0.1, "double", 0.1),
        (date(2025, 3, 1), DAY, date(2025, 3, 1)),
        (datetime(2025, 3, 1, 8, 0, 0, 5), LOCAL, datetime(2025, 3, 1, 8, 0, 0, 5)),
        (datetime(2025, 3, 1, 8), INSTANT, datetime(2025, 3, 1, tzinfo=UTC)),
        (datetime(2025, 3, 1, 8, tzinfo=timezone(timedelta(hours=8))), INSTANT, datetime(2025, 3, 1, tzinfo=UTC)),
        ("2025-03-01T04:05:06.1234560", LOCAL, datetime(2025, 3, 1, 4, 5, 6, 123456)),
        ("2025-03-01T04:05:06.1234567", LOCAL, None),
        ("2025-03-01T04:05:06.1234560Z", INSTANT, datetime(2025, 3, 1, 4, 5, 6, 123456, tzinfo=UTC)),
        ("2025-03-01T04:05:06.003", LOCAL, datetime(2025, 3, 1, 4, 5, 6, 3000)),
        ("2025-03-01T04:05:06", LOCAL, datetime(2025, 3, 1, 4, 5, 6)),
        (UUID(int=5), {"type": "string", "logicalType": "uuid"}, UUID(int=5)),
        ("广州 😀", "string", "广州 😀"),
        ("", "string", ""),
        (b"\0\xff", "bytes", b"\0\xff"),
    ],
)
def test_a_value_comes_as_it_is_or_its_row_is_rejected(
    sql_server: SqlServer, given: Any, kind: Any, wanted: Any
) -> None:
    sql_server.columns = {"id": "int", "at": "datetime2(3)", "v": "sql_variant"}
    at = datetime(2025, 3, 1)
    sql_server.answers = [[(at,)], [(1, at, given)]]
    [row] = sweep(source(URL, table="income"), {})
    assert converted(kind, row["v"]) == wanted


def test_a_text_that_is_none_spoils_only_its_row(sql_server: SqlServer) -> None:
    first, later = datetime(2025, 3, 1), datetime(2025, 3, 2)
    sql_server.columns = {"at": "datetime2(3)", "id": "int", "v": "varchar(9)"}
    good, bad = (first, 1, "a"), UnicodeDecodeError("gbk", SECRET.encode(), 0, 1, "x")
    sql_server.answers = [[(later,)], [good, bad], [(first, 1), (later, 2)], [good, bad], [good], [bad]]
    row, spoilt = sweep(source(URL, table="income"), {})
    assert row["id"] == 1
    assert isinstance(spoilt, Bad)
    assert SECRET not in spoilt.reason
    assert sql_server.connections == 3  # answers that the driver did not read to their end


def raised(number: int, message: str = SECRET) -> Exception:
    said = {"msgno": number, "message": message, "server": "", "proc_name": "", "severity": 16, "state": 1,
            "line_number": 1}  # fmt: skip
    made: Exception = _create_exception_by_message(said, message)
    return made


@pytest.mark.parametrize(
    ("number", "words", "waits"),
    [
        (208, "there is no such table (error 208)", False),
        (207, "there is no such column (error 207)", False),
        (229, "a right is missing", False),
        (245, "a value cannot be computed", False),
        (1205, "another transaction was in the way", True),
        (1222, "another program holds a lock", True),
        (4060, "there is no such database", False),
        (9002, "the disk of the database is full", True),
        (18456, "the login is refused", False),
        (6401, "a trigger of the table undoes the whole transaction", False),
        (50000, "a function or trigger of the database refuses", False),
        (99, "the database refuses (error 99)", False),
    ],
)
def test_an_error_is_told_by_its_cause_and_quotes_nothing(number: int, words: str, waits: bool) -> None:
    with pytest.raises((DatabaseConfigError, DatabaseUnavailableError)) as caught, translated("read tax.income"):
        raise raised(number)
    assert words in caught.value.message
    assert isinstance(caught.value, DatabaseUnavailableError) == waits
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("of_network", "words", "waits"),
    [
        (ConnectionRefusedError(111, "refused"), "the database does not answer (refused)", True),
        (TimeoutError("timed out"), "the database does not answer", True),
        (socket.gaierror(-2, "Name or service not known"), "there is no such host", False),
        (pytds.Error("Server requires encryption"), "no secure connection", False),
        (SSL.Error([("SSL routines", "", "certificate verify failed")]), "no secure connection", False),
    ],
)
def test_an_error_of_the_network_is_one_of_the_database(
    of_network: Exception, words: str, waits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise of_network

    monkeypatch.setattr(pytds, "connect", fail)
    with pytest.raises((DatabaseConfigError, DatabaseUnavailableError)) as caught, translated("connect"):
        sweep(source(URL, table="income"), {})
    assert words in caught.value.message
    assert isinstance(caught.value, DatabaseUnavailableError) == waits


def test_a_server_that_does_not_answer_in_time_is_given_up(sql_server: SqlServer) -> None:
    sql_server.columns = {"id": "int", "at": "datetime2(3)"}
    sql_server.answers = [[TimeoutError("timed out")]]
    with pytest.raises(DatabaseUnavailableError, match="the statement took too long"):
        sweep(source(URL, table="income"), {})
    late = pytds.OperationalError("")
    late.msg_no = -2
    assert sqlserver_session.PytdsDialect().is_disconnect(late, None, None)


def changed(sql_server: SqlServer, *counts: int | Exception, rows: int = 1) -> int:
    """What SQLAlchemy says that a change has changed, which the server answers so."""
    sql_server.counts = list(counts)
    made = engine(Database(url=URL), HERE, writes=True)
    with made.begin() as connection:
        found = [
            connection.execute(sa.text("DELETE FROM income WHERE id = :id"), {"id": at}).rowcount for at in range(rows)
        ]
        connection.execute(sa.text("DELETE FROM income WHERE id = :id"), [{"id": at} for at in range(rows)])
        connection.execute(sa.text("DELETE FROM income"))
    made.dispose()
    return found[0]


def test_a_trigger_that_changes_other_rows_is_read_to_its_end(sql_server: SqlServer) -> None:
    assert changed(sql_server, 5, 1, -1, rows=3) == 1  # the trigger's rows come first
    assert changed(sql_server, 0, -1) == 0
    assert sql_server.cancelled == 0


def test_the_error_of_a_trigger_that_has_changed_other_rows_is_seen(sql_server: SqlServer) -> None:
    with pytest.raises(sa.exc.DBAPIError):
        changed(sql_server, 5, raised(50000))
