"""Whether and why a database refuses a single record, in words that contain no value of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

import psycopg
from sqlalchemy.exc import DBAPIError

from exchange.connect.dialects import dameng_errors, mysql_errors, oracle_errors, sqlserver_errors
from exchange.connect.postgres import CHECKERS

_ENCODING = "a character that the database's encoding lacks"
_NULL, _UNIQUE = "null in a column that must not be null", "a unique index has the same value in another row"
_FOREIGN, _CHECK = "a foreign key has no row to go with it, or rows that need this one", "a check of the table"
_TRIGGER, _TYPE = "a trigger of the table", "a value of another type than its column's"

_POSTGRESQL: Mapping[str, str] = {
    "22001": "text longer than its column",
    "22003": "a number outside of its column's range",
    "22021": _ENCODING,
    "22P05": _ENCODING,
    "23502": _NULL,
    "23503": _FOREIGN,
    "23505": _UNIQUE,
    "23514": _CHECK,
    "23P01": "an exclusion constraint of the table",
    "54000": "a value longer than an index can hold",
}
# Whole classes: values, constraints, limits, errors of PL/pgSQL.
_CLASSES: Mapping[str, str] = {
    "22": "a value that its column does not take",
    "23": "a constraint of the table",
    "44": "the check option of a view",
    "54": "a limit of the database",
    "P0": _TRIGGER,
}
_SQLITE: Mapping[str, str] = {
    "SQLITE_CONSTRAINT_NOTNULL": _NULL,
    "SQLITE_CONSTRAINT_UNIQUE": _UNIQUE,
    "SQLITE_CONSTRAINT_PRIMARYKEY": _UNIQUE,
    "SQLITE_CONSTRAINT_ROWID": _UNIQUE,
    "SQLITE_CONSTRAINT_FOREIGNKEY": _FOREIGN,
    "SQLITE_CONSTRAINT_CHECK": _CHECK,
    "SQLITE_CONSTRAINT_TRIGGER": _TRIGGER,
    "SQLITE_CONSTRAINT_DATATYPE": _TYPE,
    "SQLITE_MISMATCH": _TYPE,
    "SQLITE_TOOBIG": "a value longer than the database can hold",
}

_MYSQL: Mapping[int, str] = {
    1048: _NULL,
    1062: _UNIQUE,
    1153: "a value longer than the server's max_allowed_packet",
    1216: _FOREIGN,
    1217: _FOREIGN,
    1264: _POSTGRESQL["22003"],
    1265: _TYPE,
    1292: _TYPE,
    1366: _ENCODING,
    1406: _POSTGRESQL["22001"],
    1451: _FOREIGN,
    1452: _FOREIGN,
    1586: _UNIQUE,
    3819: _CHECK,
    4025: _CHECK,
}
_ORACLE: Mapping[int, str] = {
    1: _UNIQUE,
    1400: _NULL,
    1407: _NULL,
    1426: _POSTGRESQL["22003"],
    1438: _POSTGRESQL["22003"],
    1450: _POSTGRESQL["54000"],
    1461: _POSTGRESQL["22001"],
    2290: _CHECK,
    2291: _FOREIGN,
    2292: _FOREIGN,
    12899: _POSTGRESQL["22001"],
    **dict.fromkeys(range(20_000, 21_000), _TRIGGER),
}
_SQL_SERVER: Mapping[int, str] = {
    220: _POSTGRESQL["22003"],
    232: _POSTGRESQL["22003"],
    515: _NULL,
    547: "a foreign key or a check of the table",
    1946: _POSTGRESQL["54000"],
    2601: _UNIQUE,
    2627: _UNIQUE,
    2628: _POSTGRESQL["22001"],
    8115: _POSTGRESQL["22003"],
    8152: _POSTGRESQL["22001"],
}
_DAMENG: Mapping[int, str] = {
    **dict.fromkeys((-2665, -2781), _POSTGRESQL["54000"].replace("an index", "a row")),
    **dict.fromkeys((-6102, -6164, -6165, -6170, -6173), _POSTGRESQL["22003"]),
    **dict.fromkeys((-6108, -6124, -6169, -70005), _POSTGRESQL["22001"]),
    **dict.fromkeys((-6601, -6605, -6609), _NULL),
    **dict.fromkeys((-6602, -6608, -6610, -6611, -6612, -6625), _UNIQUE),
    **dict.fromkeys((-6603, -6604), _CHECK),
    **dict.fromkeys((-6606, -6607, -6628), _FOREIGN),
}


def raised() -> tuple[type[Exception], ...]:
    """What drivers raise for a record; a UnicodeEncodeError comes from encoding a value for the wire."""
    numbered = (mysql_errors, oracle_errors, sqlserver_errors, dameng_errors)
    others = (each for errors in numbered for each in errors.raised())
    return DBAPIError, psycopg.Error, sqlite3.Error, UnicodeEncodeError, *others


def reason(error: Exception) -> str | None:
    """Why this record cannot be stored; None if the error concerns more than one record, such as the table or a lock.

    Decided by SQLSTATE, SQLite's result codes and the others' numbers: the driver's own text can quote the record.
    Codes that PostgreSQL leaves to users come from triggers.
    """
    if isinstance(error, UnicodeEncodeError):
        return f"the database refuses it: {_ENCODING}"
    origin = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(origin, sqlite3.Error):
        return _sqlite(origin)
    if isinstance(origin, mysql_errors.raised()):
        return _mysql(mysql_errors.number_of(origin), mysql_errors.state_of(origin))
    if isinstance(origin, oracle_errors.raised()):
        return _numbered(_ORACLE.get(number := oracle_errors.number_of(origin)), f"ORA-{number:05}")
    if isinstance(origin, sqlserver_errors.raised()):
        number = sqlserver_errors.number_of(origin)
        return _numbered(_TRIGGER if number >= sqlserver_errors.USERS else _SQL_SERVER.get(number), f"error {number}")
    if isinstance(origin, dameng_errors.raised()):
        number = dameng_errors.number_of(origin)
        return _numbered(_TRIGGER if number in dameng_errors.USERS else _DAMENG.get(number), f"error {number}")
    state = getattr(origin, "sqlstate", None)
    if not isinstance(state, str):
        return None
    words = _POSTGRESQL.get(state) or _CLASSES.get(state[:2]) or (_TRIGGER if _is_users(state) else None)
    return words and f"the database refuses it: {words} ({_named(origin, state)})"


def _sqlite(origin: sqlite3.Error) -> str | None:
    code = getattr(origin, "sqlite_errorname", "")
    words = _SQLITE.get(code) or ("a constraint of the table" if isinstance(origin, sqlite3.IntegrityError) else None)
    return words and f"the database refuses it: {words} ({code})"


def _mysql(number: int, state: str) -> str | None:
    words = _TRIGGER if state.startswith("45") else _MYSQL.get(number)  # MySQL leaves 45 to users
    return _numbered(words, f"error {number}")


def _numbered(words: str | None, number: str) -> str | None:
    return words and f"the database refuses it: {words} ({number})"


def _is_users(state: str) -> bool:
    """Whether the class is free for users: it begins with 5 to 9 or I to Z, and PostgreSQL does not use it itself."""
    return state[0] in "56789IJKLMNOPQRSTUVWXYZ" and state[:2] not in ("53", "54", "55", "57", "58", "XX")


def _named(origin: object, state: str) -> str:
    """The SQLSTATE, with the constraint and column that the server names for its own errors."""
    diagnosis = getattr(origin, "diag", None)
    if getattr(diagnosis, "source_file", None) not in CHECKERS:  # a trigger can put any text there
        return state
    names = (getattr(diagnosis, f"{kind}_name", None) for kind in ("constraint", "column"))
    return ", ".join([state, *(name for name in names if name)])
