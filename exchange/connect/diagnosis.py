"""What a database's error means: its cause in words, what to do about it, and whether waiting can help.

PostgreSQL identifies errors by SQLSTATE, SQLite by result codes; if PostgreSQL refuses a connection, libpq passes on
only text. The database's own sentence is kept only if it cannot contain a value of a row: for errors of connections
(no row was read yet), statements, rights, resources and the server itself. It is left out for errors about data
(classes 21, 22, 23, 44), for what a function of the database raises, and for unknown errors; of these, only names of
tables, columns, constraints and types are kept.
"""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass, replace

import psycopg

from exchange.connect.postgres import CHECKERS

# SQLSTATE classes whose first sentence contains names, sizes and words of the statement, but never values of rows:
# https://www.postgresql.org/docs/current/errcodes-appendix.html
SAFE_CLASSES = frozenset({"08", "0A", "25", "28", "3D", "3F", "40", "42", "53", "54", "55", "57", "58"})
SAFE_STATES = frozenset({"XX001", "XX002"})  # damaged pages and indexes; the sentence names their place

_CHECK = "exchange connector check"
_GOES_ON = "the connector goes on by itself"


@dataclass(frozen=True)
class Diagnosis:
    """An error's cause, what to do, whether waiting alone can help, and whether a row's value is the cause."""

    cause: str
    remedy: str
    waiting_helps: bool = False
    of_value: bool = False


# By SQLSTATE or its class; the longest match counts.
STATES = {
    "08": Diagnosis("the connection was lost", _GOES_ON, waiting_helps=True),
    "0A": Diagnosis("the database cannot do that", "name a table without rules, another query, or a newer PostgreSQL"),
    "22": Diagnosis(
        "a value cannot be computed", "correct the row, or the query or view that converts it", of_value=True
    ),
    "23": Diagnosis("a row breaks a constraint of the table", "see the constraint"),
    "25006": Diagnosis("the database is read-only", "name the primary server, or allow this login to write"),
    "28": Diagnosis("the login is refused", "correct the user and `password_file`, or pg_hba.conf on the server"),
    "3D": Diagnosis("there is no such database", "correct the database's name in `database`"),
    "3F": Diagnosis("there is no such schema", "correct the name before the dot in `table`"),
    "40": Diagnosis("another transaction was in the way", _GOES_ON, waiting_helps=True),
    "42501": Diagnosis("a right is missing", "GRANT it to the connector's user"),
    "42601": Diagnosis("the SQL is not valid", "correct `query`"),
    "42703": Diagnosis("there is no such column", "correct `columns`, `cursor` or `query`"),
    "42883": Diagnosis("there is no such function or operator", "correct `query`, or create the function"),
    "42P01": Diagnosis("there is no such table", "correct `table` or `query`, with its schema: tax.income"),
    "42P10": Diagnosis("the table has no unique index on these columns", "create one on the sink's `key`"),
    "42": Diagnosis("the statement does not fit the tables", _CHECK),
    "53100": Diagnosis("the disk of the database is full", f"make room; {_GOES_ON} then", waiting_helps=True),
    "53200": Diagnosis("the database is out of memory", f"see to the server; {_GOES_ON} then", waiting_helps=True),
    "53300": Diagnosis("the database has too many connections", f"close some; {_GOES_ON} then", waiting_helps=True),
    "53": Diagnosis("the database lacks resources", f"see to the server; {_GOES_ON} then", waiting_helps=True),
    "54": Diagnosis("a limit of the database is passed", "take fewer or smaller columns"),
    "55006": Diagnosis("another program uses the table", _GOES_ON, waiting_helps=True),
    "55P03": Diagnosis("another program holds a lock", f"see who does in pg_locks; {_GOES_ON}", waiting_helps=True),
    "55": Diagnosis("the table or database is not in a state for that", "see to the server"),
    "57014": Diagnosis(
        "the statement took too long, or was cancelled",
        "create an index on the cursor's (time, id), or raise `timeout_s` of the database",
        waiting_helps=True,
    ),
    "57P04": Diagnosis("the database was dropped", "correct the database's name in `database`"),
    "57": Diagnosis("the server is starting or shutting down", _GOES_ON, waiting_helps=True),
    "58": Diagnosis("the server cannot read or write its files", "see to the server's disk"),
    "P0001": Diagnosis("a function or trigger of the database refuses", "see what it wants"),
    "XX001": Diagnosis("the database is damaged", "restore it"),
    "XX002": Diagnosis("an index of the database is damaged", "REINDEX it"),
}
OTHER = Diagnosis("the database refuses", "see the server's log")
_OF_STATEMENTS = frozenset({"42601", "42703", "42883", "42P01"})  # of the connector's, or of a function's

# SQLite's primary result codes: https://www.sqlite.org/rescode.html
_SQLITE = {
    "SQLITE_AUTH": Diagnosis("the database refuses the access", "see to its rights"),
    "SQLITE_BUSY": Diagnosis("another program holds a lock", f"end it; {_GOES_ON} then", waiting_helps=True),
    "SQLITE_CANTOPEN": Diagnosis("the database file cannot be opened", "correct its path, or the folder's rights"),
    "SQLITE_CONSTRAINT": STATES["23"],
    "SQLITE_CORRUPT": STATES["XX001"],
    "SQLITE_FULL": STATES["53100"],
    "SQLITE_INTERRUPT": STATES["57014"],
    "SQLITE_IOERR": Diagnosis(
        "the database file cannot be read or written", f"see to its disk; {_GOES_ON} then", waiting_helps=True
    ),
    "SQLITE_LOCKED": Diagnosis("another statement holds a lock", _GOES_ON, waiting_helps=True),
    "SQLITE_MISMATCH": Diagnosis("a value does not fit the type of its column", "see the table's types"),
    "SQLITE_NOMEM": Diagnosis("memory is used up", f"make room; {_GOES_ON} then", waiting_helps=True),
    "SQLITE_NOTADB": Diagnosis("the file is not a SQLite database", "correct its path"),
    "SQLITE_PERM": Diagnosis("the database file may not be opened", "see to its rights"),
    "SQLITE_PROTOCOL": Diagnosis("other programs hold locks", _GOES_ON, waiting_helps=True),
    "SQLITE_READONLY": Diagnosis("the database is read-only", "see to the rights of the file and its folder"),
    "SQLITE_SCHEMA": Diagnosis("the tables were changed meanwhile", _GOES_ON, waiting_helps=True),
    "SQLITE_TOOBIG": STATES["54"],
}
# What SQLITE_ERROR means, by its sentence. The sentence is kept: it quotes the statement, which contains no values.
_SQLITE_SENTENCES = (
    (r"no such table: .*", STATES["42P01"]),
    (r"(no such column: .*|table .* has no column named .*|ambiguous column name: .*)", STATES["42703"]),
    (r"(no such function: .*|wrong number of arguments to function .*|no such collation sequence: .*)",
     STATES["42883"]),
    (r"(near \".*\": syntax error|incomplete input|unrecognized token: .*)", STATES["42601"]),
    (r"ON CONFLICT clause does not match any PRIMARY KEY or UNIQUE constraint", STATES["42P10"]),
    (r"too many .*", STATES["54"]),
    (r"no such savepoint: .*", Diagnosis(
        "a trigger of the table rolls the transaction back", "write RAISE(ABORT, …) there, not RAISE(ROLLBACK, …)")),
    (r"malformed JSON|integer overflow|bad JSON path.*", STATES["22"]),
)  # fmt: skip
# Sentences of libpq and the server about connections that fail; in another language none of them matches.
_CONNECTION_SENTENCES = (
    (r"too many (clients|connections)|remaining connection slots", STATES["53300"]),
    (r"starting up|shutting down|recovery mode|not yet accepting connections", STATES["57"]),
    (r"database .* does not exist", STATES["3D"]),
    (r"database .* is not currently accepting connections", Diagnosis("the database is closed", "see to the server")),
    (r"permission denied for database", STATES["42501"]),
    (r"SASL authentication mechanisms", Diagnosis(
        "the server wants the password in a way that libpq does not know",
        "openGauss: set password_encryption_type = 1, set the user's password again, and write md5 in pg_hba.conf")),
    (r"authentication failed|no password supplied|role .* does not exist|not permitted to log in|pg_hba\.conf|"
     r"fe_sendauth", STATES["28"]),
    (r"\[Errno -2\]|\[Errno -5\]|Name or service not known|nodename nor servname",
     Diagnosis("there is no such host", "correct the host in `database`")),
    (r"SSL|certificate", Diagnosis("no secure connection comes about", "see sslmode and sslrootcert in the URL")),
    (r"invalid connection option|invalid (port|integer value|sslmode|channel_binding)|unsupported startup parameter|"
     r"unrecognized configuration parameter|invalid value for parameter",
     Diagnosis("the database URL is not right", "correct what stands behind its `?`, or its port")),
)  # fmt: skip
UNREACHABLE = Diagnosis("the database does not answer", f"see that it runs there; {_GOES_ON} then", waiting_helps=True)


def diagnose(error: BaseException) -> Diagnosis:
    """What an error of psycopg or sqlite3 means; any other error means a value or statement that cannot be handled."""
    if isinstance(error, psycopg.Error):
        return _postgresql(error)
    if isinstance(error, sqlite3.Error):
        return _sqlite(getattr(error, "sqlite_errorname", ""), str(error))
    return _unknown(error)


def _unknown(error: BaseException) -> Diagnosis:
    if isinstance(error, UnicodeDecodeError):  # a PostgreSQL whose encoding is SQL_ASCII takes any bytes for text
        return Diagnosis("a text is not UTF-8", "correct the row", of_value=True)
    return Diagnosis(f"a value or statement is not for the driver ({type(error).__name__})", _CHECK)


def _postgresql(error: psycopg.Error) -> Diagnosis:
    state = error.sqlstate
    if state:
        found = next((STATES[s] for s in (state, state[:2]) if s in STATES), OTHER)
        if state in _OF_STATEMENTS and "function" in (error.diag.context or ""):
            found = Diagnosis(
                "a function or trigger of the database fails", "correct it; the server's log has the place"
            )
        return _with(found, _details(error, state))
    # Without a state, libpq or the driver raised it; these two classes concern connections and options.
    if isinstance(error, psycopg.OperationalError | psycopg.ProgrammingError):
        sentence = _one_line(str(error))
        for form, found in _CONNECTION_SENTENCES:
            if re.search(form, sentence):
                return _with(found, sentence)
        if isinstance(error, psycopg.OperationalError):
            return _with(UNREACHABLE, sentence)
    return _unknown(error)


def _details(error: psycopg.Error, state: str) -> str:
    diag = error.diag
    names = [
        f"{word} {name}"
        for word, name in (
            ("constraint", diag.constraint_name),
            ("type", diag.datatype_name),
            ("column", diag.column_name),
            ("table", diag.table_name),
        )
        if name and diag.source_file in CHECKERS
    ]
    # A function that the department wrote can raise any code with any text; such an error has a context.
    is_safe = (state[:2] in SAFE_CLASSES or state in SAFE_STATES) and not diag.context
    said = [_one_line(diag.message_primary)] if is_safe and diag.message_primary else names
    return ", ".join([*said, f"SQLSTATE {state}"])


def _sqlite(code: str, text: str) -> Diagnosis:
    if code == "SQLITE_ERROR":
        for form, found in _SQLITE_SENTENCES:
            if re.fullmatch(form, text):
                return _with(found, _one_line(text))
    if code in ("SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_NOTNULL"):
        return _with(
            _SQLITE["SQLITE_CONSTRAINT"], _one_line(text)
        )  # names of columns; a trigger's text has another code
    if not code and "binding" in text:
        return Diagnosis("the SQL has a parameter that nobody fills", "write ?, :name, @name, $name in quotes only")
    # An extended code begins with its primary code: SQLITE_BUSY_SNAPSHOT.
    found = next((d for name, d in _SQLITE.items() if code.startswith(name)), OTHER)
    return _with(found, code or "sqlite3")


def _with(found: Diagnosis, details: str) -> Diagnosis:
    return replace(found, cause=f"{found.cause} ({details})")


def _one_line(text: str) -> str:
    return " ".join(text.split())
