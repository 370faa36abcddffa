"""Oracle without an Oracle: the statements that a source sends are those recorded here; what becomes of values."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import oracledb
import pytest
from oracledb.errors import _Error as OracleError

from exchange.connect.database import DatabaseConfigError, DatabaseUnavailableError, translated
from exchange.connect.dialects import oracle_session
from exchange.connect.dialects.oracle import CursorTooFineError
from exchange.connect.source import Bad
from exchange.connect.sql_source import SqlSource
from tests.rigs.oracle import Column, Oracle, Variable
from tests.rigs.sql_source import SECRET, converted, decimal, source, sweep

NUMBER, TEXT = oracledb.DB_TYPE_NUMBER, oracledb.DB_TYPE_VARCHAR
PLAIN, ZONED, LOCAL_ZONED = oracledb.DB_TYPE_TIMESTAMP, oracledb.DB_TYPE_TIMESTAMP_TZ, oracledb.DB_TYPE_TIMESTAMP_LTZ
URL = "oracle://exchange:secret@db.tax:1522/tax"
AT = datetime(2025, 3, 1, 4, 5, 6, 123456)
LATER = AT + timedelta(seconds=1)
INSTANT = {"type": "long", "logicalType": "timestamp-micros"}
LOCAL = {"type": "long", "logicalType": "local-timestamp-micros"}
DAY = {"type": "int", "logicalType": "date"}


def income(**config: Any) -> SqlSource:
    return source(URL, table="tax.income", lookback_s=10, **config)


RECORDED = [
    ("SELECT * FROM tax.income FETCH FIRST 0 ROWS ONLY", {}),
    ("SELECT tax.income.id, tax.income.at, tax.income.seen, tax.income.name FROM tax.income FETCH FIRST 0 ROWS ONLY",
     {}),
    ("SELECT tax.income.at AT TIME ZONE '+00:00' AS anon_1 FROM tax.income WHERE tax.income.at IS NOT NULL"
     " ORDER BY tax.income.at DESC FETCH FIRST 20 ROWS ONLY", {}),
    ("SELECT tax.income.id, tax.income.at AT TIME ZONE '+00:00' AS anon_1, to_char(tax.income.seen,"
     " 'YYYY-MM-DD\"T\"HH24:MI:SS.FF9') AS to_char_1, tax.income.name FROM tax.income"
     " WHERE tax.income.at IS NOT NULL AND tax.income.id IS NOT NULL"
     " ORDER BY tax.income.at, tax.income.id FETCH FIRST 2 ROWS ONLY", {}),
    ("SELECT tax.income.id, tax.income.at AT TIME ZONE '+00:00' AS anon_1, to_char(tax.income.seen,"
     " 'YYYY-MM-DD\"T\"HH24:MI:SS.FF9') AS to_char_1, tax.income.name FROM tax.income"
     " WHERE tax.income.at IS NOT NULL AND tax.income.id IS NOT NULL AND tax.income.at >= :param_1"
     " AND (tax.income.at > :param_1 OR tax.income.id > :param_2)"
     " ORDER BY tax.income.at, tax.income.id FETCH FIRST 2 ROWS ONLY", {"param_1": AT, "param_2": 1}),
]  # fmt: skip


def test_a_sweep_sends_what_is_recorded(oracle: Oracle) -> None:
    oracle.columns = [
        Column("ID", NUMBER),
        Column("AT", ZONED, 6),
        Column("SEEN", PLAIN, 9),
        Column("NAME", TEXT, 0, 40),
    ]
    first = (Decimal(1), AT, "2025-03-01T04:05:06.123456700", "广州")
    second = (Decimal(2), LATER, None, None)
    oracle.answers = [[(LATER,)], [first, second], [second]]
    rows = sweep(income(fetch_rows=1, cursor={"time": "at", "id": "id"}), {})
    assert oracle.said == RECORDED
    assert rows == [
        {"id": 1, "at": AT.replace(tzinfo=UTC), "seen": "2025-03-01T04:05:06.123456700", "name": "广州"},
        {"id": 2, "at": LATER.replace(tzinfo=UTC), "seen": None, "name": None},
    ]
    # A time with a fraction would be sent as DATE, without it; one with a zone goes in UTC.
    assert oracle.sizes == [{"param_1": oracledb.DB_TYPE_TIMESTAMP}]


def test_a_query_is_read_as_it_is_written(oracle: Oracle) -> None:
    oracle.columns = [Column("ID", NUMBER), Column("AT", oracledb.DB_TYPE_DATE)]
    oracle.answers = [[(AT.replace(microsecond=0),)], []]
    sweep(source(URL, query="SELECT id, at FROM income WHERE note = ':word'; -- all"), {})
    assert oracle.said[0][0] == (
        "SELECT * FROM (SELECT id, at FROM income WHERE note = ':word') origin FETCH FIRST 0 ROWS ONLY"
    )
    assert oracle.sizes == []


def test_a_session_waits_for_nothing_for_ever(oracle: Oracle) -> None:
    oracle.columns, oracle.answers = [Column("ID", NUMBER), Column("AT", PLAIN, 6)], [[], []]
    sweep(source(URL + "?protocol=tcps&wallet_location=/keys", table="income", timeout_s=7), {})
    assert oracle.given == {
        "user": "exchange", "password": "secret", "host": "db.tax", "port": 1522, "service_name": "tax",
        "protocol": "tcps", "wallet_location": "/keys", "tcp_connect_timeout": 10.0, "expire_time": 1,
    }  # fmt: skip
    assert oracle.call_timeout == 7000


@pytest.mark.parametrize(
    ("column", "given", "kind", "wanted"),
    [
        (Column("V", NUMBER, 0), Decimal("12345678901234567890"), decimal(20, 0), Decimal("12345678901234567890")),
        (Column("V", NUMBER, -127), Decimal("7"), "long", 7),
        (Column("V", NUMBER, -127), Decimal("1E+3"), "long", 1000),
        (Column("V", NUMBER, -127), Decimal("7.5"), "long", None),
        (Column("V", NUMBER, -127), Decimal("0.10000000000000000000000000000000000001"), decimal(38, 38),
         Decimal("0.10000000000000000000000000000000000001")),
        (Column("V", NUMBER, 2), Decimal("-0.1"), decimal(12, 2), Decimal("-0.1")),
        (Column("V", NUMBER, 3), Decimal("0.125"), decimal(12, 2), None),
        (Column("V", NUMBER, 0), Decimal(1), "boolean", True),
        (Column("V", NUMBER, 0), Decimal(2), "boolean", None),
        (Column("V", oracledb.DB_TYPE_BINARY_DOUBLE), 0.1, "double", 0.1),
        (Column("V", oracledb.DB_TYPE_DATE), datetime(2025, 3, 1), DAY, date(2025, 3, 1)),
        (Column("V", oracledb.DB_TYPE_DATE), datetime(2025, 3, 1, 1), DAY, None),
        (Column("V", oracledb.DB_TYPE_DATE), datetime(2025, 3, 1, 8), INSTANT, datetime(2025, 3, 1, tzinfo=UTC)),
        (Column("V", PLAIN, 6), AT, LOCAL, AT),
        (Column("V", ZONED, 6), AT, INSTANT, AT.replace(tzinfo=UTC)),
        (Column("V", ZONED, 6), AT, LOCAL, None),
        (Column("V", LOCAL_ZONED, 6), AT, INSTANT, AT.replace(tzinfo=UTC)),
        (Column("V", TEXT), "2025-03-01T04:05:06.123456000Z", INSTANT, AT.replace(tzinfo=UTC)),  # a `fine` one
        (Column("V", TEXT), "2025-03-01T04:05:06.123456001Z", INSTANT, None),
        (Column("V", TEXT), "广州 😀", "string", "广州 😀"),
        (Column("V", TEXT), None, "string", None),  # what an office wrote as empty text
        (Column("V", oracledb.DB_TYPE_CHAR), "a  ", "string", "a  "),
        (Column("V", oracledb.DB_TYPE_CLOB), "long", "string", "long"),
        (Column("V", oracledb.DB_TYPE_BLOB), b"\0\xff", "bytes", b"\0\xff"),
        (Column("V", oracledb.DB_TYPE_RAW), b"\0\xff", "string", None),
        (Column("V", oracledb.DB_TYPE_BOOLEAN), True, "boolean", True),
        (Column("V", oracledb.DB_TYPE_INTERVAL_DS), timedelta(1), "string", None),
    ],
)  # fmt: skip
def test_a_value_comes_as_it_is_or_its_row_is_rejected(
    oracle: Oracle, column: Column, given: Any, kind: Any, wanted: Any
) -> None:
    oracle.columns = [Column("ID", NUMBER), Column("AT", PLAIN, 6), column]
    oracle.answers = [[(AT,)], [(Decimal(1), AT, given)]]
    [row] = sweep(source(URL, table="income"), {})
    found = converted(kind, row["v"])
    assert found == wanted
    assert type(found) is type(wanted)


@pytest.mark.parametrize(
    ("of_type", "size", "into", "room"),
    [
        (TEXT, 32767, TEXT, 32767),
        (oracledb.DB_TYPE_NCHAR, 40, oracledb.DB_TYPE_NCHAR, 40),
        (oracledb.DB_TYPE_CLOB, None, oracledb.DB_TYPE_LONG, 0),
        (oracledb.DB_TYPE_NCLOB, None, oracledb.DB_TYPE_LONG_NVARCHAR, 0),
        (oracledb.DB_TYPE_BLOB, None, oracledb.DB_TYPE_LONG_RAW, 0),
    ],
)
def test_long_values_come_whole_and_broken_text_with_surrogates(
    oracle: Oracle, of_type: Any, size: int | None, into: Any, room: int
) -> None:
    found: Variable = oracle_session.fetched(oracle.cursor(), Column("V", of_type, None, size))
    assert (found.of_type, found.size) == (into, room)
    assert found.options == {"arraysize": 100, "encoding_errors": "surrogateescape"}


@pytest.mark.parametrize("column", [Column("AT", PLAIN, 9), Column("AT", ZONED, 7)])
def test_a_cursor_that_the_driver_would_cut_off_is_refused(oracle: Oracle, column: Column) -> None:
    oracle.columns, oracle.answers = [Column("ID", NUMBER), column], [[(AT,)]]
    with pytest.raises(CursorTooFineError, match="more than six digits"):
        sweep(source(URL, table="income"), {})


def test_a_year_before_1_spoils_only_its_row(oracle: Oracle) -> None:
    keys = [(AT, Decimal(1)), (LATER, Decimal(2))]
    oracle.columns = [Column("AT", PLAIN, 6), Column("ID", NUMBER), Column("BORN", oracledb.DB_TYPE_DATE)]
    good = (AT, Decimal(1), AT)
    bad = (LATER, Decimal(2), ValueError(f"year -4712 is out of range {SECRET}"))
    oracle.answers = [[(LATER,)], [good, bad], keys, [good, bad], [good], [bad]]
    first, second = sweep(source(URL, table="income"), {})
    assert first["id"] == 1
    assert isinstance(second, Bad)
    assert SECRET not in second.reason
    assert oracle.connections == 3  # the driver did not read to their end the answers on which it failed


def raised(message: str, code: int = 0) -> oracledb.Error:
    said = OracleError(message, code=code)
    made: oracledb.Error = said.exc_type(said)
    return made


@pytest.mark.parametrize(
    ("message", "code", "words", "waits"),
    [
        ("ORA-00942: table or view does not exist", 942, "there is no such table (ORA-00942)", False),
        ("ORA-00904: \"X\": invalid identifier", 904, "there is no such column (ORA-00904)", False),
        (f"ORA-01722: unable to convert string value containing '{SECRET}'", 1722, "a value cannot be computed", False),
        ("ORA-01017: invalid username/password", 1017, "the login is refused", False),
        ("ORA-01031: insufficient privileges", 1031, "a right is missing", False),
        ("ORA-01555: snapshot too old", 1555, "longer than the server keeps old rows", True),
        ("ORA-03113: end-of-file on communication channel", 3113, "the connection was lost", True),
        ("ORA-12514: TNS:listener does not currently know of service", 12514, "no such service", True),
        ("ORA-20001: no " + SECRET, 20001, "a function or trigger of the database refuses (ORA-20001)", False),
        ("DPY-3010: connections to this database server version are not supported", 0, "the server is too old", False),
        ("DPY-3015: password verifier type 0x939 is not supported", 0, "in a form that is too old", False),
        ("DPY-4024: call timeout of 300000 ms exceeded", 0, "the statement took too long", True),
        ("DPY-6005: cannot connect (CONNECTION_ID=x). [Errno 111] Connection refused", 0, "does not answer", True),
        ("DPY-6005: cannot connect. [Errno -2] Name or service not known", 0, "there is no such host", False),
        ("DPY-6005: cannot connect. [SSL: CERTIFICATE_VERIFY_FAILED]", 0, "no secure connection", False),
        ("ORA-99999: " + SECRET, 99999, "the database refuses (ORA-99999)", False),
    ],
)  # fmt: skip
def test_an_error_is_told_by_its_cause_and_quotes_nothing(message: str, code: int, words: str, waits: bool) -> None:
    with pytest.raises((DatabaseConfigError, DatabaseUnavailableError)) as caught, translated("read tax.income"):
        raise raised(message, code)
    assert words in caught.value.message
    assert isinstance(caught.value, DatabaseUnavailableError) == waits
    assert SECRET not in str(caught.value)


def test_values_named_like_parameters_go_as_they_are(oracle: Oracle) -> None:
    given: Mapping[str, Any] = {"param_1": AT.replace(tzinfo=UTC), "param_2": AT.replace(microsecond=0), "param_3": 5}
    oracle.answers = [[]]
    list(oracle_session.stream(oracle, "SELECT * FROM income", given, oracle.close))
    assert oracle.said == [("SELECT * FROM income", {**given, "param_1": AT})]
    assert oracle.sizes == [{"param_1": oracledb.DB_TYPE_TIMESTAMP}]
