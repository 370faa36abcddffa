"""What errors of Oracle and its driver mean, by their numbers; of their texts nothing is kept: they can quote values.

Numbers: https://docs.oracle.com/error-help/db/ and, for DPY, the driver's own `errors.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace

from exchange.connect.diagnosis import OTHER, STATES, UNREACHABLE, Diagnosis

_GOES_ON = "the connector goes on by itself"
_LOGIN = Diagnosis("the login is refused", "correct the user and `password_file`, or the account on the server")
_TLS = Diagnosis("no secure connection comes about", "see protocol, wallet_location and ssl_server_cert_dn in the URL")
_TOO_OLD = Diagnosis("the server is too old", "use Oracle from 12.1, or `debezium`")
_VERIFIER = Diagnosis(
    "the account's password is stored in a form that is too old",
    "set it again on the server: ALTER USER … IDENTIFIED BY",
)
_NO_SERVICE = Diagnosis(
    "the server knows no such service, or it has not started yet",
    f"correct the service or sid in `database`; {_GOES_ON} once it is there",
    waiting_helps=True,
)
_TOO_LATE = Diagnosis(
    "the statement took longer than the server keeps old rows",
    f"create an index on the cursor's (time, id), or raise undo_retention; {_GOES_ON}",
    waiting_helps=True,
)
# Oracle's own numbers, by the SQLSTATE that PostgreSQL has for the same.
_NUMBERS: Mapping[str, tuple[int, ...]] = {
    "08": (28, 1012, 2396, 3113, 3114, 3135, 12537, 12547, 12570, 25408),
    "22": (1411, 1426, 1427, 1428, 1476, 1489, 1722, 1790, *range(1830, 1900), 6502, 12899, 22835, 64451),
    "25006": (1456, 16000),
    "40": (60, 8176, 8177),
    "42": (932, 937, 979, 1791, 6550),
    "42501": (1031, 1045, 1720, 41900),
    "42601": (900, 903, 905, 906, 907, 908, 909, 911, 917, 920, 921, 922, 923, 928, 933, 936, 1740, 1756),
    "42703": (904, 918),
    "42P01": (942, 980, 4043),
    "53100": (257, 1536, 1652, 1653, 30036),
    "53200": (4030, 4031, 4036),
    "53300": (18, 20, 2391, 12516, 12518, 12519, 12520),
    "57": (1033, 1034, 1089, 1090, 1092, 1109, 12526, 12527, 12528, 27101),
    "57014": (40, 1013, 2393),
    "58": (1115, 15080, 27072),
    "P0001": (*range(20000, 21000),),
    "XX001": (1578, 8103, 26040),
}
_KNOWN: Mapping[int, Diagnosis] = {
    **{number: STATES[state] for state, numbers in _NUMBERS.items() for number in numbers},
    **dict.fromkeys((1005, 1017, 28000, 28001, 28003, 28040), _LOGIN),
    **dict.fromkeys((12170, 12535, 12541, 12543, 12545), UNREACHABLE),
    **dict.fromkeys((12154, 12504, 12505, 12514), _NO_SERVICE),
    **dict.fromkeys((28759, 28860, 29024), _TLS),
    54: Diagnosis("another program holds a lock", _GOES_ON, waiting_helps=True),
    **dict.fromkeys((955, 1430), Diagnosis("another connector makes the table, too", _GOES_ON, waiting_helps=True)),
    1555: _TOO_LATE,
}  # fmt: skip
_DRIVERS: Mapping[str, Diagnosis] = {
    "DPY-1001": STATES["08"],
    "DPY-3010": _TOO_OLD,
    "DPY-3015": _VERIFIER,
    "DPY-4001": Diagnosis("user or password is missing", "write oracle://user@host/service, and `password_file`"),
    "DPY-4011": STATES["08"],
    "DPY-4024": STATES["57014"],
    "DPY-4033": STATES["08"],
    "DPY-6000": _NO_SERVICE,
    "DPY-6001": _NO_SERVICE,
    "DPY-6002": _TLS,
    "DPY-6003": _NO_SERVICE,
    "DPY-6005": UNREACHABLE,
    "DPY-6008": _TLS,
}


def raised() -> tuple[type[Exception], ...]:
    """What the driver raises; nothing as long as nobody has loaded it, for that takes a quarter of a second."""
    driver = sys.modules.get("oracledb")
    return (driver.Error,) if driver else ()


def diagnose(error: BaseException) -> Diagnosis:
    """What an error of oracledb means."""
    said = error.args[0] if error.args else None
    number, name = number_of(error), str(getattr(said, "full_code", "") or "")
    if not number and not name:  # raised by `oracle_session.stream`
        return replace(STATES["22"], cause=f"{STATES['22'].cause} (a value that Python does not have)")
    found = _KNOWN.get(number) or _DRIVERS.get(name) or OTHER
    text = str(getattr(said, "message", ""))
    if found is UNREACHABLE and "Name or service not known" in text:
        found = Diagnosis("there is no such host", "correct the host in `database`")
    elif found is UNREACHABLE and "CERTIFICATE" in text.upper():
        found = _TLS
    return replace(found, cause=f"{found.cause} ({f'ORA-{number:05}' if number else name})")


def number_of(error: BaseException) -> int:
    """The error's number; 0 if it has none."""
    said = error.args[0] if error.args else None
    return int(getattr(said, "code", 0) or 0)
