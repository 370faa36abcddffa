"""A sink's table in SQLite and PostgreSQL: what the database refuses is set aside, and only that."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import event

from exchange.connect.offsets import OtherSinkError
from exchange.connect.rejects import RejectFileError
from exchange.connect.row_change import RecordOrigin
from exchange.connect.sink_layout import TableMismatchError
from exchange.connect.sink_table import SinkTable, SinkTableError
from exchange.errors import ExchangeError
from tests.rigs.sinks import KINDS, PLAIN, RELATIVES, Reader, row, url_of

SECRET = "canary-7f3a"


@pytest.fixture(params=(*KINDS, *RELATIVES))
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Reader]:
    url = url_of(request, tmp_path)
    made = Reader(url, tmp_path)
    yield made
    made.user.dispose()


@pytest.fixture
def postgresql(postgres_database: str, tmp_path: Path) -> Iterator[Reader]:
    made = Reader(postgres_database, tmp_path)
    yield made
    made.user.dispose()


TRIGGERS = {
    "sqlite": ["CREATE TRIGGER no BEFORE INSERT ON t WHEN NEW.n = 2 BEGIN SELECT RAISE(ABORT, 'canary-7f3a'); END"],
    "postgresql": [
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS "
        "$$BEGIN IF NEW.n = 2 THEN RAISE EXCEPTION '%%', NEW.note USING ERRCODE = 'U0001'; END IF; RETURN NEW; END$$",
        "CREATE TRIGGER no BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION no()",
    ],
}


def causes(kind: str) -> dict[str, tuple[list[str], dict[str, Any], str]]:
    """What the user did with the table, the record that it then refuses, and what is said of it."""
    remade = (
        "ALTER TABLE t RENAME TO old",
        "CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, note TEXT {0}, n BIGINT {1}, _partition BIGINT, _offset BIGINT)",
    )

    def anew(note: str = "", n: str = "") -> list[str]:
        return [statement.format(note, n) for statement in remade]

    other = ["CREATE TABLE other (note TEXT PRIMARY KEY)", "INSERT INTO other VALUES ('first'), ('fine')"]
    found = {
        "check": (anew(n="CHECK (n <> 2)"), row(2, SECRET), "a check of the table"),
        "unique": (["CREATE UNIQUE INDEX u ON t (note)"], row(2, "first"), "a unique index"),
        "not null": (anew(note="NOT NULL"), row(2, None), "null in a column"),
        "foreign key": (
            [*other, *anew(note="REFERENCES other")],
            row(2, SECRET),
            "a foreign key",
        ),
        "deferred": (
            [*other, *anew(note="REFERENCES other DEFERRABLE INITIALLY DEFERRED")],
            row(2, SECRET),
            "a foreign key",
        ),
        "trigger": (TRIGGERS[kind], row(2, SECRET), "a trigger"),
        "range": (["ALTER TABLE t ALTER COLUMN n TYPE smallint"], row(2, SECRET, n=70_000), "outside of its column's"),
        "length": (["ALTER TABLE t ALTER COLUMN note TYPE varchar(5)"], row(2, SECRET), "longer than"),
        "blanks": (["ALTER TABLE t ALTER COLUMN note TYPE varchar(5)"], row(2, "first "), "longer than"),
        "index": (["CREATE INDEX i ON t (note)"], row(2, "".join(map(chr, range(256, 6000)))), "an index can hold"),
        "key": ([], row(2, id="".join(map(chr, range(256, 6000)))), "an index can hold"),
        "zero": ([], row(2, f"{SECRET}\0"), "zero character"),
    }
    if kind == "sqlite":  # has no such limits, and looks at foreign keys only if each connection asks for it
        for name in ("range", "length", "blanks", "index", "key", "zero", "foreign key", "deferred"):
            del found[name]
    return found


@pytest.mark.parametrize(
    ("kind", "cause"), [(kind, cause) for kind in ("sqlite", "postgresql") for cause in causes(kind)]
)
def test_a_record_that_the_database_refuses_is_set_aside_and_no_other(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, cause: str
) -> None:
    url = f"sqlite:///{tmp_path}/r.db" if kind == "sqlite" else str(request.getfixturevalue("postgres_database"))
    database = Reader(url, tmp_path)
    statements, bad, said = causes(kind)[cause]
    with closing(database.table()) as table:
        table.fit(PLAIN)
    database.sql(*statements)
    with closing(database.table()) as table:
        table.fit(PLAIN)
        [(at, reason)] = database.write(table, row(1, "first"), bad, row(3), row(1, "first", n=10), row(4, None)
                                        if cause != "not null" else row(4), b"id-3")  # fmt: skip
    assert (at, said in reason, SECRET in reason) == (1, True, False), reason
    assert database.rows() == [("id-1", 10), ("id-4", 4)]
    database.user.dispose()


@pytest.mark.parametrize("encoding", ["LATIN1", "EUC_CN"])
def test_a_character_that_the_databases_encoding_lacks_is_set_aside(
    postgresql: Reader, tmp_path: Path, encoding: str
) -> None:
    name = f"{sa.make_url(postgresql.url).database}_{encoding.lower()}"
    plain = sa.make_url(postgresql.url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        options = f"ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
        connection.execute(f'CREATE DATABASE "{name}" {options}'.encode())
        reader = Reader(plain.replace(sa.make_url(plain).database or "", name).replace("ql:", "ql+psycopg:"), tmp_path)
        try:
            with closing(reader.table()) as table:
                table.fit(PLAIN)
                [(at, reason)] = reader.write(table, row(1), row(2, "\N{GRINNING FACE}"), row(3), row(1, n=10))
                [(gone, said)] = reader.write(table, b"id-1", "\N{GRINNING FACE}".encode())
            assert (at, gone) == (1, 1)
            assert "encoding lacks" in reason
            assert "encoding lacks" in said
            assert reader.rows() == [("id-3", 3)]
        finally:
            reader.user.dispose()
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


def test_a_tombstone_that_cannot_be_is_set_aside(database: Reader) -> None:
    with closing(database.table()) as table:
        table.fit(PLAIN)
        bad = [b"id-\xff"] if not database.is_postgresql else [b"id-\xff", b"id-\0"]
        aside = database.write(table, row(1), row(2), *bad, b"id-2")
    assert [(at, reason.split(":")[0]) for at, reason in aside] == [
        (2 + i, "a tombstone whose key is not an entity") for i in range(len(bad))
    ]
    assert database.rows() == [("id-1", 1)]


def test_a_tombstone_for_a_row_that_others_need_is_set_aside(postgresql: Reader) -> None:
    with closing(postgresql.table()) as table:
        table.fit(PLAIN)
        postgresql.write(table, row(1), row(2))
        postgresql.sql("CREATE TABLE mine (id TEXT REFERENCES t)", "INSERT INTO mine VALUES ('id-1')")
        [(at, reason)] = postgresql.write(table, row(3), b"id-1", b"id-2")
    assert (at, "foreign key" in reason, "id-1" in reason) == (1, True, False)
    assert postgresql.rows() == [("id-1", 1), ("id-3", 3)]


def test_null_in_a_key_is_set_aside_also_where_the_table_would_take_it(database: Reader) -> None:
    columns = f"id {database.text}, note {database.text}, n BIGINT, _partition BIGINT, _offset BIGINT"
    database.sql(f"CREATE TABLE t ({columns}, UNIQUE (id, note))")
    with closing(database.table(["id", "note"])) as table:
        table.fit(PLAIN)
        aside = database.write(table, row(1), row(1, None), row(1, n=5), row(1, None))
    assert aside == [(at, "note: null in a field of the subject's `key`") for at in (1, 3)]
    assert database.rows() == [("id-1", 5)]


def take_once(database: Reader, note: str) -> None:
    """Have the database refuse a second row with that note; in MySQL, a second unique index would stop the sink."""
    if database.is_mysql:
        database.sql(f"ALTER TABLE t ADD CHECK (note <> '{note}' OR n = -1)")
    else:
        database.sql("CREATE UNIQUE INDEX u ON t (note)")


@pytest.mark.parametrize("is_bad", [lambda i: True, lambda i: i == 154, lambda i: i % 2 == 0], ids=["all", "1", "half"])
def test_many_bad_records_cost_no_more_than_a_few_attempts_each(database: Reader, is_bad: Any) -> None:
    count = 300
    with closing(database.table()) as table:
        table.fit(PLAIN)
        database.write(table, row(-1, "taken"))
    take_once(database, "taken")
    with closing(database.table()) as table:
        table.fit(PLAIN)
        attempts = 0

        @event.listens_for(table._engine, "savepoint")
        def _count(*_: object) -> None:
            nonlocal attempts
            attempts += 1

        aside = database.write(table, *(row(i, "taken" if is_bad(i) else f"note {i}") for i in range(count)))
    bad = [i for i in range(count) if is_bad(i)]
    assert [at for at, _ in aside] == bad
    assert {n for _, n in database.rows()} == {-1, *range(count)} - set(bad)
    assert attempts <= 3 * len(bad) + 30


def test_what_cannot_be_set_aside_stops_the_sink_and_nothing_is_taken_in(database: Reader) -> None:
    with closing(database.table()) as table:
        table.fit(PLAIN)
    take_once(database, "same")
    with closing(database.table()) as table:
        table.fit(PLAIN)
        start = table.offsets("topic", [0])
        changes = [table.upsert(PLAIN, row(i, "same"), RecordOrigin(0, i, i)) for i in range(2)]

        def full(_: object) -> None:
            raise RejectFileError("the disk is full")

        with pytest.raises(RejectFileError):
            table.apply("topic", changes, {0: (0, 2)}, full)
        assert table.offsets("topic", [0]) == start
        assert database.rows() == []


@pytest.mark.parametrize(
    "change",
    ["ALTER TABLE t DROP COLUMN note", "ALTER TABLE t RENAME TO away", "DROP TABLE exchange_offsets"],
)
def test_what_is_wrong_with_the_table_is_no_records_fault(database: Reader, change: str) -> None:
    with closing(database.table()) as table:
        table.fit(PLAIN)
        table.offsets("topic", [0])
        database.sql(change)
        changes = [table.upsert(PLAIN, row(i), RecordOrigin(0, i, i)) for i in range(3)]
        aside: list[object] = []
        with pytest.raises(ExchangeError) as raised:
            table.apply("topic", changes, {0: (0, 3)}, aside.extend)
        assert aside == []
        assert "drop" not in str(raised.value)


def test_a_column_whose_type_is_changed_while_the_sink_runs_stops_it_with_words(postgresql: Reader) -> None:
    with closing(postgresql.table()) as table:
        table.fit(PLAIN)
        postgresql.sql("ALTER TABLE t ALTER COLUMN note TYPE integer USING 0")
        with pytest.raises(TableMismatchError, match="column note is INTEGER"):
            postgresql.write(table, row(1, SECRET))


def test_sinks_that_start_at_once_in_an_empty_database_make_their_tables_one_after_the_other(database: Reader) -> None:
    tables = [database.table(name=name) for name in ("a", "b", "c", "c", "c", "c")]
    start = threading.Barrier(len(tables))

    def begin(table: SinkTable) -> dict[int, int]:
        with closing(table):
            start.wait(30)
            table.fit(PLAIN)
            return table.offsets("topic", [0])

    with ThreadPoolExecutor(len(tables)) as pool:
        assert list(pool.map(begin, tables)) == [{0: 0}] * len(tables)


def test_records_that_the_table_holds_already_are_no_refused_ones(database: Reader) -> None:
    with closing(database.table([])) as table:
        table.fit(PLAIN)
        database.write(table, row(1), row(2))
        database.sql("DELETE FROM exchange_offsets")
        with pytest.raises(SinkTableError) as raised:
            database.write(table, row(1), row(2))
    assert "drop" not in str(raised.value)
    assert database.rows() == [("id-1", 1), ("id-2", 2)]


def test_if_another_process_moved_one_of_several_offsets_nothing_is_done(database: Reader) -> None:
    with closing(database.table()) as table:
        table.fit(PLAIN)
        assert table.offsets("topic", [0, 1]) == {0: 0, 1: 0}
        table.skip("topic", {0: (0, 3), 1: (0, 5)})
        change = table.upsert(PLAIN, row(1), RecordOrigin(0, 3, 1_000))
        for moved in ({0: (3, 4), 1: (4, 6)}, {1: (5, 6), 0: (2, 4)}, {0: (3, 4), 2: (1, 2)}):
            with pytest.raises(OtherSinkError):
                table.apply("topic", [change], moved, lambda _: None)
        assert table.offsets("topic", [0, 1]) == {0: 3, 1: 5}
        table.apply("topic", [change], {0: (3, 4), 1: (5, 6)}, lambda _: None)
        assert table.offsets("topic", [0, 1]) == {0: 4, 1: 6}
    assert database.rows() == [("id-1", 1)]
