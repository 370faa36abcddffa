"""A table that is there, and what is delivered: what goes together, and what is said where it does not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from exchange.connect.database import DatabaseConfigError
from exchange.connect.sink_layout import TableMismatchError
from tests.rigs.sinks import KINDS, PLAIN, Reader, row, schema, url_of


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Reader]:
    url = url_of(request, tmp_path)
    made = Reader(url, tmp_path)
    yield made
    made.user.dispose()


def refused(database: Reader, key: list[str], delivered: Any, name: str = "t") -> str:
    """What `check` and `run` say of the table, which is the same; nothing is changed by it."""
    with closing(database.table(key, name)) as table:
        with pytest.raises(TableMismatchError) as checked:
            table.examine(delivered)
        with pytest.raises(TableMismatchError) as run:
            table.fit(delivered)
    assert str(checked.value) == str(run.value)
    assert "drop" not in str(run.value)
    assert "name another `table`" in run.value.remedy
    return run.value.message


KEYS = [
    (["id"], ["id", "n"], "t: its primary key is (id), and the subject's `key: [id, n]` needs (id, n)"),
    (["id", "n"], ["id"], "t: its primary key is (id, n), and the subject's `key: [id]` needs (id)"),
    (["id"], ["n"], "t: its primary key is (id), and the subject's `key: [n]` needs (n)"),
    (["id"], [], "t: its primary key is (id), and a subject without `key` needs (_offset, _partition)"),
    ([], ["id"], "t: its primary key is (_offset, _partition), "
                 "and the subject's `key: [id]` needs one, or a unique index, of (id)"),
    (["id"], ["_row"], "t has no column _row: it is not a sink's table, or has another key"),
    (["_row"], ["id"], "t: its primary key is (_row), and the subject's `key: [id]` needs (id)"),
]  # fmt: skip


def of(key: list[str], number: int) -> dict[str, Any]:
    """A row, with its handle if rows go by it."""
    return row(number) | ({"_row": f"{number:032x}"} if "_row" in key else {})


@pytest.mark.parametrize(("before", "after", "said"), KEYS)
def test_another_key_is_refused_and_the_table_goes_on_with_its_own(
    database: Reader, before: list[str], after: list[str], said: str
) -> None:
    with closing(database.table(before)) as table:
        table.fit(PLAIN)
        database.write(table, of(before, 1))
    assert refused(database, after, PLAIN).split(";")[0] == said
    with closing(database.table(before)) as table:
        table.fit(PLAIN)
        assert database.write(table, of(before, 2)) == []
    with closing(database.table(after, "other")) as table:
        table.fit(PLAIN)
        assert database.write(table, of(after, 3)) == []
    assert database.rows() == [("id-1", 1), ("id-2", 2)]
    assert database.rows(table="other") == [("id-3", 3)]


def test_a_unique_index_will_do_for_a_key(database: Reader) -> None:
    with closing(database.table([])) as table:
        table.fit(PLAIN)
    partial = "(id(3))" if database.is_mysql else "(id) WHERE n > 5"
    database.sql(f"CREATE UNIQUE INDEX u ON t {partial}")
    refused(database, ["id"], PLAIN)
    if database.is_mysql:  # where an upsert may hit any unique index
        database.sql("ALTER TABLE t MODIFY id VARCHAR(99) COLLATE utf8mb4_nopad_bin", "CREATE UNIQUE INDEX v ON t (id)")
        assert "a row could replace another with the same (id(3))" in refused(database, ["id"], PLAIN)
        assert "a row could replace another with the same (_offset, _partition)" in refused(database, ["id"], PLAIN)
        database.sql("DROP INDEX u ON t", "ALTER TABLE t DROP PRIMARY KEY")
    else:
        database.sql("CREATE UNIQUE INDEX v ON t (id)")
    with closing(database.table(["id"])) as table:
        table.fit(PLAIN)
        assert database.write(table, row(1), row(1, n=2)) == []
    assert database.rows() == [("id-1", 2)]


def test_a_handles_column_of_another_type_is_refused(database: Reader) -> None:
    database.sql("CREATE TABLE t (_row BIGINT PRIMARY KEY, id TEXT, n BIGINT, _partition BIGINT, _offset BIGINT)")
    said = refused(database, ["_row"], PLAIN)
    number, text = ("BIGINT(20)", "VARCHAR(255)") if database.is_mysql else ("BIGINT", "TEXT")
    assert f"_row is {number}, which changes values of the string that is delivered; it has to be {text}" in said


def test_a_numbering_of_the_users_own_is_in_nobodys_way(database: Reader) -> None:
    number = {"sqlite": "INTEGER", "mysql": "BIGINT AUTO_INCREMENT"}.get(database.user.dialect.name, "BIGSERIAL")
    columns = f"id {database.text}, n BIGINT, _partition BIGINT, _offset BIGINT, mine TEXT"
    database.sql(f"CREATE TABLE t (nr {number} PRIMARY KEY, {columns})")
    with closing(database.table([])) as table:
        table.fit(PLAIN)
        assert database.write(table, row(1), row(1)) == []
    assert database.rows("nr, id") == [(1, "id-1"), (2, "id-1")]


DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 2}
MICROS = {"type": "long", "logicalType": "timestamp-micros"}
BOTH = [
    ("BIGINT", "string", "column v is BIGINT, which changes values of the string that is delivered; it has to be TEXT"),
    ("TEXT", "long", "column v is TEXT, which changes values of the long that is delivered; it has to be BIGINT"),
    ("NUMERIC", "string", "column v is NUMERIC"),
    ("TEXT", "boolean", "it has to be BOOLEAN"),
    ("REAL", DECIMAL, "the decimal(6, 2) that is delivered; it has to be NUMERIC"),
    ("TEXT", "bytes", "column v is TEXT"),
    ("DATE", "long", None),
    ("BIGINT", MICROS, "column v is BIGINT"),
]
ONLY = {
    "sqlite": [
        ("STRING", "string", "column v is NUMERIC"),  # SQLite's trap: text that looks like a number becomes one
        ("JSON", {"type": "array", "items": "long"}, "column v is JSON"),
        ("", "string", None),
        ("VARCHAR(5)", "string", None),
        ("BIGINT", "double", None),
        ("DECIMAL(4,1)", DECIMAL, None),
        ("TEXT", DECIMAL, None),
        ("DATETIME", MICROS, None),
    ],
    "postgresql": [
        ("BIGINT", "double", "column v is BIGINT, which changes values of the double that is delivered"),
        ("REAL", "double", "it has to be DOUBLE PRECISION"),
        ("REAL", "long", "it has to be BIGINT"),
        ("REAL", "float", None),
        ("NUMERIC", "double", "column v is NUMERIC"),
        ("NUMERIC(6,1)", DECIMAL, "column v is NUMERIC(6, 1)"),
        ("NUMERIC(4,2)", DECIMAL, None),
        ("NUMERIC(5)", "long", None),
        ("SMALLINT", "long", None),
        ("CHAR(9)", "string", "column v is CHAR(9)"),
        ("VARCHAR(5)", "string", None),
        ("TIMESTAMP(0) WITH TIME ZONE", MICROS, "column v is TIMESTAMP(0) WITH TIME ZONE"),
        ("TIMESTAMP WITHOUT TIME ZONE", MICROS, None),
        ("TIMESTAMPTZ", {"type": "long", "logicalType": "local-timestamp-millis"}, "has to be TIMESTAMP WITHOUT"),
        ("DATE", MICROS, "column v is DATE"),
        ("TIME(0)", {"type": "int", "logicalType": "time-millis"}, "column v is TIME(0)"),
        ("UUID", {"type": "string", "logicalType": "uuid"}, None),
        ("UUID", "string", "column v is UUID"),
        ("JSONB", {"type": "array", "items": "long"}, None),
        ("TEXT[]", {"type": "array", "items": "string"}, "column v is TEXT[]"),
        ("INTERVAL", "string", "column v is INTERVAL"),
        ("MONEY", DECIMAL, "column v is MONEY"),
        ("NAME", "string", "column v is "),
    ],
    "mariadb": [
        ("DOUBLE", "double", None),
        ("DOUBLE(8, 2)", "double", "column v is DOUBLE(8, 2)"),
        ("FLOAT", "float", "it has to be DOUBLE"),
        ("DECIMAL(6, 1)", DECIMAL, "column v is DECIMAL(6, 1)"),
        ("DECIMAL(4, 2)", DECIMAL, None),
        ("INT UNSIGNED", "long", None),
        ("TINYINT(1)", "boolean", None),
        ("BIT", "boolean", "it has to be BOOL"),
        ("CHAR(9)", "string", "column v is CHAR(9)"),
        ("VARCHAR(5)", "string", None),
        ("VARCHAR(5) CHARACTER SET gbk", "string", None),
        ("ENUM('a')", "string", "column v is ENUM"),
        ("DATETIME", MICROS, "it has to be DATETIME(6)"),
        ("DATETIME(3)", {"type": "long", "logicalType": "timestamp-millis"}, None),
        ("TIMESTAMP(6) NULL", MICROS, "column v is TIMESTAMP"),
        ("TIME", {"type": "int", "logicalType": "time-millis"}, "column v is TIME"),
        ("DATE", MICROS, "column v is DATE"),
        ("BINARY(9)", "bytes", "column v is BINARY(9)"),
        ("VARBINARY(9)", "bytes", None),
        ("UUID", {"type": "string", "logicalType": "uuid"}, "column v is "),
    ],
}
# MariaDB has no REAL of its own, and dates take no numbers there.
OTHERS = {
    "mariadb": [
        (
            "BIGINT",
            "string",
            "v is BIGINT(20), which changes values of the string that is delivered; it has to be LONGTEXT",
        ),
        ("TEXT", "long", "column v is TEXT, which changes values of the long that is delivered; it has to be BIGINT"),
        ("TEXT", "boolean", "it has to be BOOL"),
        ("TEXT", "bytes", "column v is TEXT"),
        ("BIGINT", MICROS, "column v is BIGINT"),
    ]
}
TYPES = [(kind, *case) for kind in ONLY for case in (*OTHERS.get(kind, BOTH), *ONLY[kind])]


@pytest.mark.parametrize(("kind", "there", "delivered", "said"), TYPES)
def test_a_column_that_would_change_values_is_refused(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, there: str, delivered: Any, said: str | None
) -> None:
    database = Reader(url_of(request, tmp_path, kind), tmp_path)
    database.sql(f"CREATE TABLE t (id {database.text} PRIMARY KEY, v {there}, _partition BIGINT, _offset BIGINT)")
    # SQLite keeps a whole number in any column but REAL and TEXT; PostgreSQL's dates take none.
    fits = said is None and not (kind == "postgresql" and there == "DATE")
    wanted = schema(id="string", v=["null", delivered])
    if fits:
        with closing(database.table()) as table:
            table.examine(wanted)
            table.fit(wanted)
            assert database.write(table, {"id": "a", "v": None}, schema=wanted) == []
    else:
        assert (said or "column v is DATE") in refused(database, ["id"], wanted)
    database.user.dispose()


def test_a_field_that_becomes_a_double_has_its_earlier_integers_in_the_same_column(database: Reader) -> None:
    before, after = schema(id="string", v="long"), schema(id="string", v="double")
    with closing(database.table()) as table:
        table.fit(after)
        table.fit(before)
        records = [{"id": str(i), "v": v} for i, v in enumerate([-(2**53), 2**53 + 1, 2**53])]
        assert [at for at, _ in database.write(table, *records, schema=before)] == [1]
        assert database.write(table, {"id": "9", "v": 0.5}, schema=after) == []
    assert database.rows("id, v") == [("0", -(2**53)), ("2", 2**53), ("9", 0.5)]


def test_of_domains_only_those_are_taken_that_can_neither_round_nor_cut(tmp_path: Path, postgres_database: str) -> None:
    database = Reader(postgres_database, tmp_path)
    database.sql(
        "CREATE DOMAIN short AS varchar(5)",
        "CREATE DOMAIN coarse AS timestamptz(0)",
        "CREATE DOMAIN known AS text CHECK (value <> 'canary')",
        "CREATE TABLE t (id known PRIMARY KEY, v short, w coarse, _partition BIGINT, _offset BIGINT)",
    )
    said = refused(database, ["id"], schema(id="string", v="string", w=MICROS))
    assert said.count("column") == 2
    with closing(database.table()) as table:
        table.fit(schema(id="string"))
        aside = database.write(table, {"id": "a"}, {"id": "canary"}, schema=schema(id="string"))
    assert aside == [(1, "the database refuses it: a check of the table (23514, known_check)")]
    database.user.dispose()


@pytest.mark.parametrize(("state", "name"), [("23514", "CONSTRAINT"), ("42703", "COLUMN")])
def test_what_a_trigger_names_is_not_repeated(tmp_path: Path, postgres_database: str, state: str, name: str) -> None:
    database = Reader(postgres_database, tmp_path)
    with closing(database.table()) as table:
        table.fit(schema(id="string"))
        raised = f"RAISE EXCEPTION 'x' USING ERRCODE = '{state}', {name} = NEW.id"
        database.sql(
            f"CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN {raised}; END$$",
            "CREATE TRIGGER no BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION no()",
        )
        try:
            said = str(database.write(table, {"id": "canary"}, schema=schema(id="string")))
        except DatabaseConfigError as error:
            said = str(error)
    assert state in said
    assert "canary" not in said
    database.user.dispose()


def test_a_tables_faults_are_told_together(database: Reader) -> None:
    database.sql(
        f"CREATE TABLE t (id {database.text} NOT NULL, note BIGINT, n TEXT, mine TEXT NOT NULL,"
        " yours TEXT NOT NULL DEFAULT 'x', _partition BIGINT, _offset BIGINT, PRIMARY KEY (id))"
    )
    said = refused(database, ["id", "n"], PLAIN)
    for part in ("t: column note is", "column n is", "column mine must not be null", "primary key is (id)"):
        assert part in said
    assert "yours" not in said


def test_a_column_that_is_not_delivered_and_must_be_given_wants_a_default_not_another_table(database: Reader) -> None:
    columns = f"id {database.text} PRIMARY KEY NOT NULL, mine TEXT NOT NULL"
    database.sql(f"CREATE TABLE t ({columns}, _partition BIGINT, _offset BIGINT)")
    with closing(database.table()) as table, pytest.raises(TableMismatchError, match="column mine") as raised:
        table.fit(PLAIN)
    assert raised.value.remedy == "give the column a default, or let it be null"


def test_a_table_of_something_else_is_refused(database: Reader) -> None:
    database.sql(f"CREATE TABLE t (id {database.text} PRIMARY KEY)")
    assert "t has no column _partition, _offset" in refused(database, ["id"], PLAIN)


def test_a_field_that_would_be_one_column_with_another_is_refused(database: Reader) -> None:
    with closing(database.table()) as table:
        for fields in [
            {"_offset": "long"},
            {"_row": "string"},
            *([{"x" * 64: "long"}] if database.is_postgresql else [{"ID": "string"}]),
            *([{"x" * 65: "long"}] if database.is_mysql else []),
        ]:
            with pytest.raises(TableMismatchError, match=f"field {next(iter(fields))} "):
                table.examine(schema(id="string", **fields))


def test_sqlite_tells_names_apart_without_regard_to_case(tmp_path: Path) -> None:
    database = Reader(f"sqlite:///{tmp_path}/r.db", tmp_path)
    database.sql("CREATE TABLE t (ID TEXT PRIMARY KEY, N BIGINT, _PARTITION BIGINT, _offset BIGINT)")
    with closing(database.table()) as table:
        table.fit(PLAIN)
        assert database.write(table, row(1), row(1, n=3)) == []
    assert database.rows() == [("id-1", 3)]
    database.user.dispose()


def test_a_wider_decimal_keeps_its_digits_or_its_record_is_rejected(tmp_path: Path) -> None:
    """A table from before has SQLite's NUMERIC for every decimal."""
    database = Reader(f"sqlite:///{tmp_path}/r.db", tmp_path)
    database.sql("CREATE TABLE t (id TEXT PRIMARY KEY, v NUMERIC, _partition BIGINT, _offset BIGINT)")
    wanted = schema(id="string", v={"type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 2})
    texts = ["99999999999999.99", "1234567890123456.78", "1234567890123456.00", "1234567890123.45", "-0.10", "0.00"]
    with closing(database.table()) as table:
        table.fit(wanted)
        records = [{"id": str(i), "v": Decimal(text)} for i, text in enumerate(texts)]
        aside = database.write(table, *records, schema=wanted)
    assert [at for at, _ in aside] == [0, 1]
    assert "more than 15 digits" in aside[0][1]
    assert [Decimal(repr(v)) for _, v in database.rows("id, v")] == [Decimal(text) for text in texts[2:]]
    database.user.dispose()
