"""What errors of SQL Server mean, by their numbers; of their texts nothing is kept: they can quote values.

Numbers: https://learn.microsoft.com/sql/relational-databases/errors-events/database-engine-events-and-errors
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace

from exchange.connect import diagnosis
from exchange.connect.diagnosis import OTHER, STATES, Diagnosis

LOCKED = 1222
USERS = 50_000  # numbers from here on are of the department's own functions and triggers
# Of `sqlserver_session`: the driver gives no number to what happens before an answer comes.
UNREACHABLE, TOO_LATE, NO_HOST, NO_TLS = -1, -2, -3, -4
_GOES_ON = "the connector goes on by itself"
_LOGIN = Diagnosis("the login is refused", "correct the user and `password_file`, or the account on the server")
_DOOMED = Diagnosis(
    "a trigger of the table undoes the whole transaction",
    "have it refuse a row by RAISERROR, without ROLLBACK and THROW",
)
# SQL Server's numbers, by the SQLSTATE that PostgreSQL has for the same.
_NUMBERS: Mapping[str, tuple[int, ...]] = {
    "08": (121, 233, 10053, 10054, 10060, 40197, 40613),
    "0A": (40510, 40515),
    "22": (220, 232, 241, 242, 245, 248, 295, 296, 517, 535, 8114, 8115, 8134, 8169, 9420, 9803),
    "25006": (3906, 3908, 978),
    "3D": (911, 4060),
    "3F": (2760,),
    "40": (1205, 3960, 3961),
    "42501": (229, 230, 262, 297, 300, 916, 1088, 15247),
    "42601": (102, 105, 156, 319, 1033),
    "42703": (207, 209, 4104),
    "42883": (195, 2812, 4121),
    "42P01": (208, 3701),
    "53100": (1101, 1105, 9002),
    "53200": (701, 802, 8645, 8651),
    "53300": (10928, 10929, 17809),
    "57": (921, 922, 927, 5120, 6005, 17142),
    "58": (823, 5105),
    "XX001": (824, 825, 605, 8921),
}
_KNOWN: Mapping[int, Diagnosis] = {
    **{number: STATES[state] for state, numbers in _NUMBERS.items() for number in numbers},
    **dict.fromkeys((18452, 18456, 18470, 18486, 18487, 18488), _LOGIN),
    **dict.fromkeys((3609, 3616, 3903, 3930, 3931, 3998, 6401), _DOOMED),
    LOCKED: Diagnosis(
        "another program holds a lock", f"see who does in sys.dm_tran_locks; {_GOES_ON}", waiting_helps=True
    ),
    UNREACHABLE: diagnosis.UNREACHABLE,
    TOO_LATE: STATES["57014"],
    NO_HOST: Diagnosis("there is no such host", "correct the host in `database`"),
    NO_TLS: Diagnosis("no secure connection comes about", "see cafile in the URL"),
}


def raised() -> tuple[type[Exception], ...]:
    """What pytds raises; nothing as long as nobody has loaded it."""
    driver = sys.modules.get("pytds.tds_base")
    return (driver.Error,) if driver else ()


def diagnose(error: BaseException) -> Diagnosis:
    """What an error of pytds means."""
    number = number_of(error)
    if not number and type(error).__name__ == "DataError":  # raised by `sqlserver_session.stream`
        return replace(STATES["22"], cause=f"{STATES['22'].cause} (a value that Python does not have)")
    found = STATES["P0001"] if number >= USERS else _KNOWN.get(number, OTHER)
    said = f"error {number}" if number > 0 else type(error).__name__ if number == 0 else _of_network(error)
    return replace(found, cause=f"{found.cause} ({said})") if said else found


def _of_network(error: BaseException | None) -> str:
    """The system's words for the first cause, such as `Connection refused`; empty if there are none."""
    said = ""
    while error := error and error.__cause__:
        said = (isinstance(error, OSError) and error.strerror) or said
    return said


def number_of(error: BaseException) -> int:
    """The error's number; 0 if it has none."""
    return int(getattr(error, "msg_no", 0) or 0)
