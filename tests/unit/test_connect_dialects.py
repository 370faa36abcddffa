"""Which databases a connector can use, for what, and what it says of the others."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest

from exchange.connect.config import Database
from exchange.connect.database import DatabaseConfigError, Paths, connection, engine, url
from exchange.connect.dialects import known
from exchange.connect.dialects.postgresql_kin import KinDialect
from tests.rigs.sql_source import HERE

EXAMPLES = [dialect.example for dialect in known.KNOWN]


@pytest.mark.parametrize("text", ["db2://a@b/c", "gaussdb://a@b/c"])
def test_an_unknown_database_is_refused_with_a_list_of_those_that_work(text: str) -> None:
    with pytest.raises(DatabaseConfigError) as caught:
        url(Database(url=text), Paths(HERE.folder, HERE.home))
    assert f"{text.partition(':')[0]} is not supported" in caught.value.message
    assert caught.value.remedy == f"write {' or '.join(EXAMPLES)}; or a python source"


@pytest.mark.parametrize("dialect", known.KNOWN, ids=lambda dialect: str(dialect.name))
def test_its_example_is_taken(dialect: known.Dialect) -> None:
    assert url(Database(url=dialect.example), HERE).drivername == dialect.drivername
    made = engine(Database(url=dialect.example), HERE)
    assert known.of(made) is dialect
    made.dispose()


@pytest.mark.parametrize(
    ("text", "extra"),
    [
        ("mysql://a@b/c", "mysql"),
        ("oracle://a@b/c", "oracle"),
        ("sqlserver://a@b/c", "mssql"),
        ("dm://a@b", "dameng"),
        ("dm+dmPython://a@b", "dameng"),
    ],
)
def test_a_missing_driver_is_named_with_its_extra(text: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "find_spec", lambda _name: None)
    with pytest.raises(DatabaseConfigError, match="is not installed") as caught:
        url(Database(url=text), HERE)
    assert caught.value.remedy == f"pip install 'exchange[{extra}]'"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("oracle://a@b", "has to name either a service or, behind its ?, a sid"),
        ("oracle://a@b/c?sid=d", "has to name either a service or, behind its ?, a sid"),
        ("oracle://a@b/c?mode=sysdba", "has mode, but behind its ? goes only sid, protocol"),
        ("oracle:///c", "names no host"),
        ("oracle://a@b/c?protocol=ipc", "has a protocol other than tcp and tcps"),
    ],
)
def test_a_url_of_oracle_that_cannot_be_used_says_why(text: str, words: str) -> None:
    with pytest.raises(DatabaseConfigError) as caught:
        url(Database(url=text), HERE)
    assert words in caught.value.message
    assert caught.value.remedy == "write oracle://user@host/service"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mssql://a@b", "has to name a host and a database"),
        ("mssql://a@b/c?driver=odbc", "has driver, but behind its ? goes only cafile"),
        ("mssql://a@b/c?cafile=nowhere.pem", "names a cafile that is not there"),
    ],
)
def test_a_url_of_sql_server_that_cannot_be_used_says_why(text: str, words: str) -> None:
    with pytest.raises(DatabaseConfigError) as caught:
        url(Database(url=text), HERE)
    assert words in caught.value.message
    assert caught.value.remedy == "write mssql://user@host/database"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("dameng:///", "names no host"),
        ("dameng://a@b/tax", "has something behind the port; a schema goes before the table"),
        ("dameng://a@b?schema=tax", "has something behind the port; a schema goes before the table"),
    ],
)
def test_a_url_of_dameng_that_cannot_be_used_says_why(text: str, words: str) -> None:
    with pytest.raises(DatabaseConfigError) as caught:
        url(Database(url=text), HERE)
    assert words in caught.value.message
    assert caught.value.remedy == "write dameng://user@host:5236"


@pytest.mark.parametrize(
    "text", ["dameng://a@b", "kingbase://a@b/c", "opengauss://a@b/c", "oracle://a@b/c", "mssql://a@b/c"]
)
def test_only_postgresql_has_a_log_to_follow(text: str) -> None:
    with pytest.raises(DatabaseConfigError, match="cdc needs PostgreSQL"):
        connection(Database(url=text), HERE)


@pytest.mark.parametrize(("number", "version"), [(90204, (9, 2)), (120001, (12, 0)), (0, (9, 2))])
def test_a_relative_of_postgresql_counts_as_that_from_which_it_descends(number: int, version: tuple[int, ...]) -> None:
    driver = SimpleNamespace(info=SimpleNamespace(server_version=number))
    there = SimpleNamespace(connection=SimpleNamespace(driver_connection=driver))
    assert KinDialect()._get_server_version_info(there) == version


def test_a_driver_is_loaded_by_those_that_use_it_only() -> None:
    loaded = "[name for name in ('oracledb', 'pymysql', 'pytds', 'dmPython') if name in sys.modules]"
    said = f"import sys, exchange.connect.sql_source, exchange.connect.sink_table; print({loaded})"
    assert subprocess.run([sys.executable, "-c", said], capture_output=True, check=True).stdout == b"[]\n"
