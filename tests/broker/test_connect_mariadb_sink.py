"""A sink's tables in MariaDB: what InnoDB, collations, strictness, rights and a killed server mean for them."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import make_url

from exchange.broker.certificates import Certificates
from exchange.connect.config import Database, SinkConfig
from exchange.connect.database import DatabaseConfigError, DatabaseUnavailableError, Paths, engine, translated
from exchange.connect.delivered import Delivered
from exchange.connect.offsets import making
from exchange.connect.rehearsal import rehearse
from exchange.connect.sink_layout import TableChangedError, TableMismatchError
from exchange.connect.sink_table import SinkTable
from tests.rigs.mariadb import MariaDB, connect, run, running_mariadb
from tests.rigs.plain import wait_until
from tests.rigs.sinks import PLAIN, Reader, row, schema

SECRET = "canary-7f3a"


@pytest.fixture
def database(mariadb_database: str, tmp_path: Path) -> Iterator[Reader]:
    made = Reader(mariadb_database, tmp_path)
    yield made
    made.user.dispose()


def refusal_of(database: Reader, key: tuple[str, ...] = ("id",)) -> str:
    with closing(database.table(key)) as table, pytest.raises(TableMismatchError) as raised:
        table.fit(PLAIN)
    return raised.value.message


def test_rows_that_differ_in_case_blanks_and_accents_are_rows_of_their_own(database: Reader) -> None:
    names = ["a", "A", "a ", "á", "ß", "ss", "的", "的 "]
    with closing(database.table()) as table:
        table.fit(PLAIN)
        database.write(table, *(row(i, id=name) for i, name in enumerate(names)))
        database.write(table, b"a", row(9, id="A"))
    assert dict(database.rows()) == {name: i for i, name in enumerate(names) if name != "a"} | {"A": 9}


def test_a_table_that_takes_different_texts_for_equal_is_refused(database: Reader) -> None:
    database.sql("CREATE TABLE t (id VARCHAR(9) PRIMARY KEY, note TEXT, n BIGINT, _partition BIGINT, _offset BIGINT)")
    assert "column id takes different texts for equal (utf8mb4_general_ci)" in refusal_of(database)


def test_a_table_without_transactions_is_refused(database: Reader) -> None:
    columns = f"id {database.text} PRIMARY KEY, note TEXT, n BIGINT, _partition BIGINT, _offset BIGINT"
    database.sql(f"CREATE TABLE t ({columns}) ENGINE=MyISAM")
    assert "MyISAM has no transactions" in refusal_of(database)
    database.sql("ALTER TABLE t ENGINE=InnoDB")
    with closing(database.table()) as table:
        table.fit(PLAIN)


def test_all_tables_of_a_sink_are_of_innodb_whatever_the_server_prefers(tmp_path: Path) -> None:
    with running_mariadb("--default-storage-engine=MyISAM", "--sql-mode=", "--character-set-server=gbk") as server:
        run(server.url(), "CREATE DATABASE d")
        database = Reader(server.url("d"), tmp_path)
        with closing(database.table()) as table:
            table.fit(PLAIN)
            aside = database.write(table, row(1, "广州 😀"), row(2, n=2**70), schema=PLAIN)
        assert [at for at, _ in aside] == [1]
        assert database.rows("id, note") == [("id-1", "广州 😀")]
        engines = "SELECT DISTINCT engine FROM information_schema.tables WHERE table_schema = 'd'"
        with database.user.connect() as connection:
            assert connection.exec_driver_sql(engines).scalars().all() == ["InnoDB"]
        database.user.dispose()


@pytest.mark.parametrize(
    ("column", "bad", "reason"),
    [
        ("note VARCHAR(4)", "12345", "note: text longer than the column's 4 characters"),
        ("note VARCHAR(4)", "123  ", "note: text longer than the column's 4 characters"),
        ("note TINYTEXT", "漢" * 86, "note: text longer than the column's 255 bytes"),
        ("note TEXT CHARACTER SET latin1", "漢", "a character that the database's encoding lacks (error 1366)"),
        ("note VARCHAR(9) CHARACTER SET utf8mb3", "😀", "a character that the database's encoding lacks (error 1366)"),
        ("note TEXT CHECK (note <> 'no')", "no", "a check of the table (error 4025)"),
        ("note TEXT NOT NULL", None, "null in a column that must not be null (error 1048)"),
        ("n TINYINT UNSIGNED", -1, "a number outside of its column's range (error 1264)"),
        ("n TINYINT", 128, "a number outside of its column's range (error 1264)"),
    ],
)
def test_what_the_database_cannot_hold_is_set_aside_and_nothing_is_cut(
    database: Reader, column: str, bad: Any, reason: str
) -> None:
    name = column.partition(" ")[0]
    with closing(database.table()) as table:
        table.fit(PLAIN)
    database.sql(f"ALTER TABLE t MODIFY {column}")
    with closing(database.table()) as table:
        table.fit(PLAIN)
        aside = database.write(table, row(1, "fine"), row(2, **{name: bad}), row(3, "yes"))
    [(at, said)] = aside
    assert at == 1
    assert said.endswith(reason)
    assert [number for number, _ in database.rows("_offset, id")] == [0, 2]


def test_a_trigger_that_refuses_says_nothing_of_the_record(database: Reader) -> None:
    with closing(database.table()) as table:
        table.fit(PLAIN)
        database.sql(
            "CREATE TRIGGER no BEFORE INSERT ON t FOR EACH ROW BEGIN IF NEW.note = 'bad' THEN SIGNAL SQLSTATE '45001'"
            f" SET MYSQL_ERRNO = 1146, MESSAGE_TEXT = '{SECRET}'; END IF; END"
        )
    with closing(database.table()) as table:
        table.fit(PLAIN)
        [(at, reason)] = database.write(table, row(1), row(2, "bad"), row(3))
    assert (at, SECRET in reason) == (1, False)
    assert "a trigger of the table" in reason


def test_a_unique_index_that_comes_while_the_sink_runs_stops_it_before_a_row_replaces_another(database: Reader) -> None:
    with closing(database.table()) as table:
        table.fit(PLAIN)
        database.write(table, row(1, "same"))
        database.sql("CREATE UNIQUE INDEX u ON t (note(99))")
        with pytest.raises((TableMismatchError, TableChangedError)):
            database.write(table, row(2, "same"))
    assert database.rows() == [("id-1", 1)]


def test_a_type_that_changes_values_stops_the_sink_before_any_is(database: Reader) -> None:
    with closing(database.table()) as table:
        table.fit(PLAIN)
        database.write(table, row(1))
        database.sql("ALTER TABLE t MODIFY note CHAR(9)")
        with pytest.raises(TableMismatchError, match="column note is CHAR"):
            database.write(table, row(2))
        assert database.rows() == [("id-1", 1)]


def test_a_copy_is_counted_emptied_and_deleted_in_parts(database: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exchange.connect.held_copy.AT_ONCE", 2)
    with closing(database.table()) as table:
        table.offsets("topic", [0])
        table.fit(PLAIN)
        copy = table.copy("topic")
        copy.hold("g1", date(2099, 1, 1), ["id", "note", "n"], ["id"], epoch=1, deletes=True)
        database.write(table, *(row(i) for i in range(5)))
        assert copy.count()
        noted = copy.note()
        assert noted is not None
        assert noted.rows == 5
        copy.hold("g2", date(2099, 1, 1), ["id", "n"], ["id"], epoch=2, deletes=True)
        assert {note for _, note in database.rows("id, note")} == {None}
        copy.end("g2", date(2099, 1, 1), deletes=True, since=1.0)
        assert [copy.delete_some() for _ in range(4)] == [2, 2, 1, 0]
        assert copy.finish()


@pytest.mark.parametrize("there", [True, False])
def test_check_changes_nothing_and_finds_a_right_that_is_missing(database: Reader, there: bool, tmp_path: Path) -> None:
    name = make_url(database.url).database
    user = f"u{name}"
    if there:
        with closing(database.table()) as table:
            table.fit(PLAIN)
    run(database.url, f"CREATE USER {user}@'%'", f"GRANT SELECT, INSERT, UPDATE ON {name}.* TO {user}@'%'")
    where = Database(url=make_url(database.url).set(username=user).render_as_string(hide_password=False))
    config = SinkConfig(subject="a.b", table="t")
    paths = Paths(tmp_path, tmp_path)
    try:
        if there:
            with pytest.raises(DatabaseConfigError, match=r"a right is missing \(DELETE command denied to user"):
                rehearse(config, where, paths, "topic", "id", Delivered(PLAIN, ("id",), frozenset(PLAIN.fields)))
            run(database.url, f"GRANT DELETE ON {name}.* TO {user}@'%'")
        rehearse(config, where, paths, "topic", "id", Delivered(PLAIN, ("id",), frozenset(PLAIN.fields)))
        with database.user.connect() as connection:
            tables = connection.exec_driver_sql("SHOW TABLES").scalars().all()
        assert tables == (["t"] if there else [])
    finally:
        run(database.url, f"DROP USER {user}@'%'")


def test_tables_are_made_by_one_at_a_time(database: Reader, tmp_path: Path) -> None:
    made = engine(Database(url=database.url), Paths(tmp_path, tmp_path), writes=True)
    inside, most = [], []

    def make(number: int) -> None:
        with making(made) as connection:
            inside.append(number)
            most.append(len(inside))
            connection.exec_driver_sql(f"CREATE TABLE m{number} (id int)")  # commits
            inside.remove(number)

    threads = [threading.Thread(target=make, args=(i,)) for i in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 5
    made.dispose()


def test_a_lock_that_somebody_holds_is_waited_for_and_told(database: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exchange.connect.dialects.mysql_session.LOCK_S", 1)
    with closing(database.table()) as table:
        table.fit(PLAIN)
        database.write(table, row(1))
        with connect(database.url) as holder, holder.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("SELECT * FROM t WHERE id = 'id-1' FOR UPDATE")
            with pytest.raises(DatabaseUnavailableError, match=r"another program holds a lock \(error 1205\)"):
                database.write(table, row(1, n=2))
        database.write(table, row(1, n=3))
    assert database.rows() == [("id-1", 3)]


def test_a_statement_that_takes_too_long_is_given_up(database: Reader, tmp_path: Path) -> None:
    made = engine(Database(url=database.url, timeout_s=0.5), Paths(tmp_path, tmp_path))
    with (
        pytest.raises(DatabaseUnavailableError, match=r"the statement took too long, or was cancelled \(error 1969\)"),
        translated("read a.b"),
        made.connect() as connection,
    ):
        connection.exec_driver_sql("SELECT count(*) FROM seq_1_to_100000 a, seq_1_to_100000 b WHERE a.seq + b.seq = 5")
    made.dispose()


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"database": "gone"}, DatabaseConfigError, "there is no such database"),
        ({"username": "nobody", "password": SECRET}, DatabaseConfigError, "the login is refused"),
        ({"host": "nowhere.invalid"}, DatabaseConfigError, "there is no such host"),
        ({"port": 1}, DatabaseUnavailableError, "the database does not answer"),
        (
            {"query": {"ssl_ca": "/nowhere.pem"}},
            DatabaseConfigError,
            "names files for TLS that cannot be used (No such",
        ),
        ({"query": {"ssl_ca": __file__}}, DatabaseConfigError, "names files for TLS that cannot be used ("),
    ],
)
def test_a_connection_that_does_not_come_about_says_why(
    mariadb_database: str, tmp_path: Path, change: dict[str, Any], error: type[Exception], words: str
) -> None:
    url = make_url(mariadb_database).set(**change).render_as_string(hide_password=False)
    with pytest.raises(error) as caught, translated("read a.b"):
        engine(Database(url=url), Paths(tmp_path, tmp_path)).connect()
    assert words in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_killed_server_leaves_rows_and_offsets_of_one_transaction(private_mariadb: MariaDB, tmp_path: Path) -> None:
    run(private_mariadb.url(), "CREATE DATABASE d")
    database = Reader(private_mariadb.url("d"), tmp_path)
    written, stop = [0], threading.Event()
    table = database.table()
    table.fit(PLAIN)

    def write() -> None:
        while not stop.is_set():
            try:
                start = table.offsets("topic", [0])[0]
                database.write(table, *(row(i % 50, n=i) for i in range(start, start + 20)))
                written[0] += 20
            except (DatabaseUnavailableError, sa.exc.DBAPIError):
                stop.wait(0.05)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(3):
            before = written[0]
            wait_until(lambda before=before: written[0] > before + 100, "rows are written", 60)
            private_mariadb.kill()
            private_mariadb.start()
            wait_until(private_mariadb.has_started, "MariaDB answers", 60)
    finally:
        stop.set()
        writer.join()
    offset = table.offsets("topic", [0])[0]
    newest = {i % 50: i for i in range(offset)}
    assert database.rows("id, n") == sorted((f"id-{key}", n) for key, n in newest.items())
    table.close()
    database.user.dispose()


def test_a_key_of_bytes_and_many_texts_fits_an_index(database: Reader) -> None:
    shape = schema(id="string", **{f"k{i}": "string" for i in range(5)}, b="bytes")
    key = tuple(shape.fields)
    record = dict.fromkeys(key[:-1], "漢" * 109) | {"b": b"\0\xff"}
    with closing(database.table(key)) as table:
        assert isinstance(table, SinkTable)
        table.fit(shape)
        assert database.write(table, record, record, schema=shape) == []
        [(_, reason)] = database.write(table, record | {"k0": "漢" * 110}, schema=shape)
    assert reason == "k0: text longer than the column's 109 characters"


def test_with_an_authority_in_the_url_only_a_server_that_it_knows_is_spoken_to(tmp_path: Path) -> None:
    readable = Path(tempfile.mkdtemp(prefix="exchange-tls-"))
    try:
        ours, others = (Certificates(tmp_path / name, "server") for name in ("ours", "others"))
        ours.renew()
        others.renew()
        shown = readable / "server.pem"
        shown.write_bytes(ours.broker.read_bytes())
        for path in (readable, shown):
            path.chmod(0o755)
        with running_mariadb(f"--ssl-cert={shown}", f"--ssl-key={shown}", "--require-secure-transport=ON") as server:
            cipher = "SELECT variable_value FROM information_schema.session_status WHERE variable_name = 'Ssl_cipher'"
            for authority in (ours, others):
                url = make_url(server.url()).set(query={"ssl_ca": str(authority.authority)})
                made = engine(Database(url=url.render_as_string(hide_password=False)), Paths(tmp_path, tmp_path))
                if authority is ours:
                    with made.connect() as connection:
                        assert connection.exec_driver_sql(cipher).scalar()
                else:
                    with (
                        pytest.raises(DatabaseConfigError, match="no secure connection comes about"),
                        translated("read a.b"),
                    ):
                        made.connect()
                made.dispose()
    finally:
        shutil.rmtree(readable)
