"""What errors of MySQL and MariaDB mean, by their numbers, which say more than their SQLSTATE.

A function or trigger of the department can raise any number with any text, and the server quotes values in many of its
own: so a text is kept only if it has the form of one that contains nothing but names.

Numbers: https://mariadb.com/kb/en/mariadb-error-codes/ and https://dev.mysql.com/doc/mysql-errors/8.0/en/
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import replace

from exchange.connect.diagnosis import OTHER, STATES, UNREACHABLE, Diagnosis

LOCKED = 1205
_GOES_ON = "the connector goes on by itself"
_TLS = Diagnosis("no secure connection comes about", "see ssl_ca, ssl_cert, ssl_key and ssl_check_hostname in the URL")
_LOGIN = Diagnosis("the login is refused", "correct the user and `password_file`, or the account on the server")
# The numbers of each SQLSTATE that PostgreSQL has for the same.
_NUMBERS: Mapping[str, tuple[int, ...]] = {
    "08": (1152, 1158, 1159, 1160, 1161, 1184, 1927, 2006, 2013, 2055, 4031),
    "0A": (1235, 1178),
    "22": (1264, 1265, 1292, 1365, 1366, 1406, 1411, 1416, 1525, 1690, 3037, 3140, 3141, 3143, 4036, 4037, 4038),
    "23": (1048, 1062, 1169, 1216, 1217, 1364, 1451, 1452, 1586, 1761, 1762, 3819, 4025),
    "25006": (1290, 1792, 1836),
    "3D": (1049,),
    "40": (1020, 1213),
    "42501": (1044, 1142, 1143, 1227, 1370),
    "42601": (1064, 1149),
    "42703": (1052, 1054),
    "42883": (1128, 1305, 1630),
    "42P01": (1051, 1146),
    "53100": (3, 1021, 1114),
    "53200": (1037, 1038, 1041),
    "53300": (1040, 1203, 1226),
    "54": (1059, 1070, 1071, 1117, 1118, 1153, 1301),
    "57014": (1317, 1969, 3024),
    "57": (1053, 1079),
    "58": (1026, 1030),
    "P0001": (1644,),
    "XX001": (126, 145, 1034, 1194, 1195),
    "XX002": (1712,),
}
_KNOWN: Mapping[int, Diagnosis] = {
    **{number: STATES[state] for state, numbers in _NUMBERS.items() for number in numbers},
    **dict.fromkeys((1045, 1130, 1251, 1698, 1820, 1862, 2059, 3118, 4151), _LOGIN),
    **dict.fromkeys((2026, 3159), _TLS),
    **dict.fromkeys((2002, 2003), UNREACHABLE),
    1060: Diagnosis("two columns of the query have one name", "name them with AS"),
    1205: Diagnosis(
        "another program holds a lock", f"see who does in information_schema.innodb_trx; {_GOES_ON}", waiting_helps=True
    ),
    1273: Diagnosis("the server is too old", "use MySQL from 8.0.17, or MariaDB from 10.2"),
    1598: Diagnosis("the server's log takes no rows", "set binlog_format to MIXED or ROW on the server"),
    1665: Diagnosis("the server's log takes no rows", "set binlog_format to MIXED or ROW on the server"),
    2005: Diagnosis("there is no such host", "correct the host in `database`"),
}  # fmt: skip
# Texts that contain only names: of tables, columns, functions, users and hosts.
_NAMES = re.compile(
    r"Table '[^']*' doesn't exist|Unknown (column|table) '[^']*'( in '[^']*')?|Column '[^']*' in [\w ]+ is ambiguous|"
    r"Column '[^']*' cannot be null|Unknown database '[^']*'|"
    r"(FUNCTION|PROCEDURE) [\w.]+ does not exist|Field '[^']*' doesn't have a default value|"
    r"Access denied for user '[^']*'@'[^']*'( to database '[^']*'| \(using password: (YES|NO)\))?|"
    r"Host '[^']*' is not allowed to connect to this \w+ server|"
    r"\w+(, \w+)* command denied to user '[^']*'@'[^']*' for (table|column) \S+( in table '[^']*')?"
)


def raised() -> tuple[type[Exception], ...]:
    """What PyMySQL raises; nothing as long as nobody has loaded it, for it takes 9 MB."""
    driver = sys.modules.get("pymysql.err")
    return (driver.Error,) if driver else ()


def diagnose(error: BaseException) -> Diagnosis:
    """What an error of PyMySQL means."""
    number, text = number_of(error), " ".join(str(error.args[1:] and error.args[1]).split())
    if number == 1305 and text.startswith("SAVEPOINT"):  # a deadlock has undone the whole transaction
        return replace(STATES["40"], cause=f"{STATES['40'].cause} ({number})")
    if number in (2002, 2003) and re.search(r"Errno -[235]\]|Name or service not known|nodename nor servname", text):
        number = 2005
    if number in (2003, 2013) and re.search(r"SSL|certificate", text, re.IGNORECASE):
        number = 2026
    found = STATES["P0001"] if state_of(error).startswith("45") else _KNOWN.get(number, OTHER)
    said = text if _NAMES.fullmatch(text) else f"error {number}" if number else type(error).__name__
    return replace(found, cause=f"{found.cause} ({said})")


def number_of(error: BaseException) -> int:
    """The error's number; 0 if it has none."""
    return error.args[0] if error.args and isinstance(error.args[0], int) else 0


def state_of(error: BaseException) -> str:
    """The error's SQLSTATE; empty if it has none."""
    return str(getattr(error, "sqlstate", None) or "")
