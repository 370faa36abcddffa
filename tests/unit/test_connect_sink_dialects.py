"""Sinks of databases that do not run in the tests: what they send is what is recorded; which columns keep which values.

After a change that is meant: `python -m tests.rigs.recorded`, and read the difference.
"""

from __future__ import annotations

import math
from contextlib import closing, nullcontext
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import oracledb
import pytds
import pytest
import sqlalchemy as sa
from oracledb.errors import _Error as OracleError
from pytds.tds_base import _create_exception_by_message
from pytds.tds_types import SerializerFactory, TdsTypeInferrer
from sqlalchemy.dialects import mssql, oracle

from exchange.connect import refusal
from exchange.connect.config import Database
from exchange.connect.database import DatabaseConfigError, engine
from exchange.connect.deletions import Deletions
from exchange.connect.dialects import known, oracle_session, sqlserver_session
from exchange.connect.dialects.dialect import Cautions, Dialect
from exchange.connect.dialects.sqlite import SQLite
from exchange.connect.row_change import RecordOrigin, RowChange
from exchange.connect.sink_layout import Layout, TableMismatchError, check, check_names
from exchange.connect.sink_rows import SinkRows
from exchange.connect.sink_values import UnstorableError
from exchange.schema.types import Field
from tests.rigs import recorded
from tests.rigs.dameng import DRIVER, Dameng
from tests.rigs.oracle import Oracle, Variable
from tests.rigs.recorded import EVERY_KIND, FOLDER, RECORDED
from tests.rigs.sinks import PLAIN, Reader, schema
from tests.rigs.sql_source import HERE
from tests.rigs.sqlserver import SqlServer

SECRET = "canary-7f3a"
FIELDS = EVERY_KIND.fields
EXACT = "Latin1_General_100_BIN2"


def dialect_of(name: str) -> Dialect:
    found = known.named(name)
    assert isinstance(found, Dialect)
    return found


@pytest.mark.parametrize("name", RECORDED)
def test_what_a_sink_sends_is_what_is_recorded(name: str) -> None:
    assert recorded.record(name) == (FOLDER / f"{name}.sql").read_text()


@pytest.mark.parametrize(
    ("name", "merge", "times"),
    [
        ("oracle", "MERGE INTO income", 1),
        ("mssql", "MERGE INTO income WITH (HOLDLOCK)", 1),
        ("dameng", 'MERGE INTO "INCOME"', 2),  # by their places: what is found and changed, what is inserted
    ],
)
def test_each_row_goes_with_its_values(
    name: str, merge: str, times: int, oracle: Oracle, sql_server: SqlServer, dameng: Dameng
) -> None:
    rows = [{"id": key, "rows": None, "_offset": at, "Level": "x"} for at, key in enumerate("abc")]
    written = SinkRows("income", None, ("id",), "id", dialect_of(name).insert, Deletions(None, dialect_of(name).insert))
    made = engine(Database(url=dialect_of(name).example), HERE, writes=True)
    changes = [RowChange(row, RecordOrigin(0, 0, 0, None)) for row in rows]
    changes.append(RowChange({"id": "a"}, RecordOrigin(0, 0, 0, None), is_gone=True))
    with made.begin() as connection:
        written.write(connection, "topic", changes)
    made.dispose()
    told: dict[str, list[tuple[str, Any]]] = {"oracle": oracle.said, "mssql": sql_server.said, "dameng": dameng.said}
    *upserts, deleted = [(said, [*getattr(values, "values", values.copy)()]) for said, values in told[name]]
    assert {statement.split(" USING ")[0] for statement, _ in upserts} == {merge}
    if times == 1:
        assert [values for _, values in upserts] == [list(row.values()) for row in rows]
    else:
        assert [values for _, values in upserts] == [
            [row["id"], *list(row.values())[1:], *row.values()] for row in rows
        ]
    assert deleted[1] == ["a"]


@pytest.mark.parametrize("name", RECORDED)
@pytest.mark.parametrize("field", FIELDS.values(), ids=FIELDS)
def test_a_column_that_a_sink_makes_keeps_its_values(name: str, field: Field) -> None:
    dialect = dialect_of(name)
    for key_size in (0, 1, 3):
        assert dialect.keeps(field, dialect.column_type(field, key_size))


@pytest.mark.parametrize(
    ("name", "field", "column", "keeps"),
    [
        ("oracle", "text", sa.VARCHAR(40), True),
        ("oracle", "text", sa.CLOB(), True),
        ("oracle", "text", sa.CHAR(40), False),  # it pads
        ("oracle", "number", oracle.NUMBER(5, 0), True),  # what does not fit is refused
        ("oracle", "number", oracle.FLOAT(), False),
        ("oracle", "amount", oracle.NUMBER(12, 1), False),
        ("oracle", "amount", oracle.NUMBER(12, 3), True),
        ("oracle", "huge", oracle.NUMBER(), False),
        ("oracle", "ratio", oracle.NUMBER(), False),
        ("oracle", "ratio", oracle.BINARY_FLOAT(), False),
        ("oracle", "moment", oracle.TIMESTAMP(), False),
        ("oracle", "moment", oracle.TIMESTAMP(local_timezone=True), True),
        ("oracle", "local", oracle.TIMESTAMP(timezone=True), False),
        ("oracle", "local", oracle.DATE(), False),
        ("oracle", "data", oracle.LONG(), False),
        ("dameng", "text", sa.VARCHAR(40), True),
        ("dameng", "text", sa.CLOB(), True),
        ("dameng", "number", sa.INTEGER(), True),
        ("dameng", "number", sa.DOUBLE_PRECISION(), False),
        ("dameng", "amount", oracle.NUMBER(38, 0), False),
        ("dameng", "amount", oracle.NUMBER(12, 2), True),
        ("dameng", "ratio", oracle.NUMBER(38, 9), False),
        ("dameng", "moment", sa.TIMESTAMP(), True),
        ("dameng", "moment", sa.DATE(), False),
        ("dameng", "moment", sa.types.NullType(), False),  # what the catalogue calls otherwise
        ("dameng", "day", sa.TIMESTAMP(), True),
        ("dameng", "clock", sa.TIMESTAMP(), False),
        ("dameng", "data", sa.VARBINARY(9), True),
        ("mssql", "text", sa.NVARCHAR(40), True),
        ("mssql", "text", sa.VARCHAR(40), False),  # it lacks characters
        ("mssql", "text", sa.NCHAR(40), False),
        ("mssql", "number", sa.INTEGER(), True),
        ("mssql", "number", sa.FLOAT(53), True),
        ("mssql", "number", mssql.MONEY(), False),
        ("mssql", "amount", sa.DECIMAL(38, 1), False),
        ("mssql", "amount", sa.NUMERIC(12, 2), True),
        ("mssql", "ratio", sa.REAL(), False),
        ("mssql", "data", mssql.IMAGE(), False),
        ("mssql", "data", sa.BINARY(9), False),
        ("mssql", "clock", mssql.TIME(3), False),
        ("mssql", "moment", mssql.DATETIMEOFFSET(3), False),
        ("mssql", "moment", mssql.DATETIME2(6), False),
        ("mssql", "local", mssql.DATETIME2(7), True),
        ("mssql", "local", sa.DATETIME(), False),
    ],
)  # fmt: skip
def test_a_column_that_would_change_values_is_not_taken(name: str, field: str, column: Any, keeps: bool) -> None:
    assert dialect_of(name).keeps(FIELDS[field], column) == keeps


MOMENT = datetime(2025, 3, 1, 4, 5, 6, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "field", "value", "stored"),
    [
        ("oracle", "text", "", ""),
        ("oracle", "nested", ["a"], '["a"]'),
        ("oracle", "flag", True, 1),
        ("oracle", "huge", Decimal("1E+3"), "1000"),
        ("oracle", "ratio", math.inf, math.inf),
        ("oracle", "day", date(2025, 3, 1), datetime(2025, 3, 1)),
        ("oracle", "clock", time(4, 5, 6), "04:05:06"),
        ("oracle", "moment", MOMENT, MOMENT.replace(tzinfo=None)),  # its session is in UTC
        ("dameng", "flag", True, 1),
        ("dameng", "amount", Decimal("1E+3"), "1000"),
        ("dameng", "ratio", 0.1, 0.1),
        ("dameng", "ratio", math.inf, None),
        ("dameng", "day", date(2025, 3, 1), date(2025, 3, 1)),
        ("dameng", "clock", time(4, 5, 6, 7), "04:05:06.000007"),
        ("dameng", "moment", MOMENT, MOMENT.replace(tzinfo=None)),
        ("dameng", "data", b"a", b"a"),
        ("mssql", "text", "😀", "😀"),
        ("mssql", "flag", True, True),
        ("mssql", "ratio", math.nan, None),
        ("mssql", "clock", time(4, 5, 6), time(4, 5, 6)),
        ("mssql", "moment", MOMENT, MOMENT),
        ("mssql", "data", b"a", pytds.Binary(b"a")),
    ],
)
def test_a_value_goes_as_it_is_or_not_at_all(name: str, field: str, value: Any, stored: Any) -> None:
    dialect, of = dialect_of(name), FIELDS[field]
    convert = dialect.adapter(of, dialect.column_type(of))
    assert convert(None) is None
    if stored is None:
        with pytest.raises(UnstorableError):
            convert(value)
    else:
        assert convert(value) == stored
        assert type(convert(value)) is type(stored)


@pytest.mark.parametrize(("name", "text"), [("oracle", "😀😀"), ("dameng", "😀😀"), ("mssql", "😀")])
def test_a_text_is_as_long_as_its_column_counts(name: str, text: str) -> None:
    dialect = dialect_of(name)
    column = sa.NVARCHAR(2) if name == "mssql" else sa.VARCHAR(2)
    convert = dialect.adapter(FIELDS["text"], column)
    assert convert(text) == text
    with pytest.raises(UnstorableError, match="text longer than the column's 2 characters"):
        convert(text + "a")


def of_driver(message: str) -> Exception:
    made: Exception = OracleError(message).exc_type(OracleError(message))
    return made


def layout(name: str, cautions: Cautions, **columns: Any) -> Layout:
    there = {"id": sa.VARCHAR(9), "_partition": sa.BigInteger(), "_offset": sa.BigInteger(), **columns}
    return Layout(dialect_of(name), there, frozenset({"id"}), frozenset(), frozenset(), cautions)


@pytest.mark.parametrize("tells_apart", [True, False])
def test_what_the_database_takes_for_null_is_refused(tells_apart: bool) -> None:
    there = layout("oracle", Cautions(nulls_empty=True), text=sa.VARCHAR(9), data=sa.BLOB())
    for field, empty, full in (("text", "", " "), ("data", b"", b"\0")):
        convert = there.adapter(FIELDS[field], tells_apart=tells_apart)
        assert (convert(None), convert(full)) == (None, full)
        with pytest.raises(UnstorableError, match="empty, which the database takes for null"):
            convert(empty)


def test_what_the_database_does_not_tell_apart_is_refused_where_rows_are_found_by_it() -> None:
    there = layout("mssql", Cautions(pads=True), text=sa.NVARCHAR(9), data=mssql.VARBINARY(9))
    for field, padded in (("text", "a "), ("data", b"a\0")):
        assert there.adapter(FIELDS[field], tells_apart=False)(padded) == padded
        with pytest.raises(UnstorableError, match="blanks or zeros at the end"):
            there.adapter(FIELDS[field], tells_apart=True)(padded)


@pytest.mark.parametrize(
    ("cautions", "words"),
    [
        (Cautions("the database's ZHS16GBK would replace characters"), "ZHS16GBK would replace characters"),
        (Cautions(coarse={"moment": 3}), "column moment keeps 3 digits of a second only"),
    ],
)
def test_a_table_that_would_spoil_values_without_an_error_is_refused(cautions: Cautions, words: str) -> None:
    there = layout("oracle", cautions, moment=oracle.TIMESTAMP(timezone=True))
    fields = schema(id="string", moment=recorded.of("timestamp-micros")).fields
    check("t", layout("oracle", Cautions(coarse={"moment": 6}), moment=there.type_of("moment")), fields, ("id",))
    with pytest.raises(TableMismatchError, match=words):
        check("t", there, fields, ("id",))


@pytest.mark.parametrize(
    ("name", "longest"), [("oracle", 128), ("dameng", 128), ("mssql", 128), ("opengauss", 63), ("kingbase", 63)]
)
def test_a_name_that_no_column_can_have_is_refused(name: str, longest: int) -> None:
    check_names("t", ["x" * longest], dialect_of(name))
    with pytest.raises(TableMismatchError, match=f"a name of more than {longest}"):
        check_names("t", ["x" * (longest + 1)], dialect_of(name))


@pytest.mark.parametrize(
    ("orig", "is_late"),
    [
        (of_driver("DPY-4024: call timeout of 5000 ms exceeded"), True),
        (sqlserver_session._error(-2), True),
        (of_driver("ORA-00942: table or view does not exist"), False),
    ],
)
def test_a_count_that_takes_too_long_is_given_up(
    orig: Exception, is_late: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise sa.exc.DBAPIError("SELECT", {}, orig)

    reader = Reader(f"sqlite:///{tmp_path}/reader.db", tmp_path)
    with closing(reader.table()) as table:
        table.fit(PLAIN)
        copy = table.copy("topic")
        copy.note()
        assert copy.count()
        monkeypatch.setattr(SQLite, "in_time", fail)
        with nullcontext() if is_late else pytest.raises(DatabaseConfigError):
            assert not copy.count()


def of_oracle(number: int) -> Exception:
    said = OracleError(SECRET, code=number)
    made: Exception = said.exc_type(said)
    return made


def of_sql_server(number: int) -> Exception:
    said = {"msgno": number, "message": SECRET, "server": "", "proc_name": "", "severity": 16, "state": 1,
            "line_number": 1}  # fmt: skip
    made: Exception = _create_exception_by_message(said, SECRET)
    return made


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (of_oracle(1), "a unique index has the same value in another row (ORA-00001)"),
        (of_oracle(1400), "null in a column that must not be null (ORA-01400)"),
        (of_oracle(12899), "text longer than its column (ORA-12899)"),
        (of_oracle(20001), "a trigger of the table (ORA-20001)"),
        (of_oracle(942), None),
        (of_oracle(60), None),
        (DRIVER.of(-6602, SECRET), "a unique index has the same value in another row (error -6602)"),
        (DRIVER.of(-6609, SECRET), "null in a column that must not be null (error -6609)"),
        (DRIVER.of(-6169, SECRET), "text longer than its column (error -6169)"),
        (DRIVER.of(-20001, SECRET), "a trigger of the table (error -20001)"),
        (DRIVER.of(-2665, SECRET), "a value longer than a row can hold (error -2665)"),
        (DRIVER.of(-2106, SECRET), None),
        (DRIVER.of(-6403, SECRET), None),
        (of_sql_server(2627), "a unique index has the same value in another row (error 2627)"),
        (of_sql_server(547), "a foreign key or a check of the table (error 547)"),
        (of_sql_server(50001), "a trigger of the table (error 50001)"),
        (of_sql_server(1205), None),
        (of_sql_server(6401), None),
    ],
)
def test_the_refusal_of_one_record_is_told_from_other_errors(error: Exception, words: str | None) -> None:
    assert refusal.reason(error) == (words and f"the database refuses it: {words}")


@pytest.mark.parametrize(
    ("value", "of_type"),
    [
        (0.1, oracledb.DB_TYPE_BINARY_DOUBLE),  # as a NUMBER, it would have no NaN and no 1e300
        (datetime(2025, 3, 1), oracledb.DB_TYPE_TIMESTAMP),  # as a DATE, it would lose its fraction
        (5, None),
        ("a", None),
    ],
)
def test_a_value_goes_to_oracle_without_loss(value: Any, of_type: Any) -> None:
    found: Variable | None = oracle_session.sent(Oracle([]).cursor(), value, 7)
    assert (found and (found.of_type, found.options["arraysize"])) == (of_type and (of_type, 7))


def test_a_uuid_is_told_by_its_value_in_sql_server() -> None:
    field = schema(id={"type": "string", "logicalType": "uuid"}).fields["id"]
    dialect = dialect_of("mssql")
    assert dialect.keeps(field, mssql.UNIQUEIDENTIFIER())
    assert dialect.adapter(field, mssql.UNIQUEIDENTIFIER())(UUID(int=5)) == str(UUID(int=5))


@pytest.mark.parametrize(
    ("value", "of_type"),
    [
        ("广州", "NVARCHAR(MAX)"),
        (pytds.Binary(b"\0\xff"), "VARBINARY(8000)"),
        (b"\0\xff", "NVARCHAR(MAX)"),  # which is why bytes go as Binary
        (Decimal("12345678901234567890.12"), "DECIMAL(22, 2)"),
        (1 << 40, "BIGINT"),
        (0.1, "FLOAT"),
        (MOMENT, "DATETIMEOFFSET(6)"),
        (MOMENT.replace(tzinfo=None), "DATETIME2(6)"),
        (date(2025, 3, 1), "DATE"),
        (time(4, 5, 6, 7), "TIME(6)"),
    ],
)
def test_pytds_sends_each_value_in_a_type_that_keeps_it(value: Any, of_type: str) -> None:
    sent = TdsTypeInferrer(SerializerFactory(pytds.tds_base.TDS74), bytes_to_unicode=True, allow_tz=True).from_value(
        value
    )
    assert sent.get_declaration() == of_type
