"""What errors of Dameng and its driver mean, by their numbers; of their texts nothing is kept: they can quote values.

Numbers: the list in the driver's own library; those of the driver itself begin with 70.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace

from exchange.connect.diagnosis import OTHER, STATES, UNREACHABLE, Diagnosis

USERS = range(-30_000, -19_999)  # what the department's own functions and triggers raise
_GOES_ON = "the connector goes on by itself"
_LOGIN = Diagnosis("the login is refused", "correct the user and `password_file`, or the account on the server")
_TLS = Diagnosis("the driver's library for encryption does not load", "let LD_LIBRARY_PATH name its folder `dmssl`")
# Dameng's numbers, by the SQLSTATE that PostgreSQL has for the same.
_NUMBERS: Mapping[str, tuple[int, ...]] = {
    "08": (-6003, -6004, -6007, -6010, -6012, -6029, -6032, -70019, -70025, -70065, -70066),
    "22": (-6101, -6103, -6104, *range(-6118, -6111), *range(-6137, -6120), -6139, -6146, -6151, -6183, -6184, -6185,
           -70005, -70008, -70011, -70012, -70013, -70015, -70016),
    "25006": (-708, -710, -2015, -6506),
    "3F": (-2103,),
    "40": (-6403, -6405),
    "42": (-6116, -6119, -6155),
    "42501": (*range(-5531, -5500), -5598),
    "42601": (-2006, -2007),
    "42703": (-2111, -2112, -2115),
    "42883": (-2118, -2119),
    "42P01": (-2104, -2105, -2106, -7020),
    "53100": (-501, -502, -504, -505, -511, -513, -523, -531, -554, -555, -560, -564),
    "53200": (-503, -70017),
    "53300": (-6001, -6002, -6540),
    "57": (-510, -515, -536, -709),
    "57014": (-574, -604, -608, -6037),
}  # fmt: skip
_KNOWN: Mapping[int, Diagnosis] = {
    **{number: STATES[state] for state, numbers in _NUMBERS.items() for number in numbers},
    **dict.fromkeys((-2501, -2503, -2508, -2516, -4579, -6015, -70096), _LOGIN),
    **dict.fromkeys((-70070, -70089, -70090), _TLS),
    **dict.fromkeys(
        (-6401, -6402, -6407, -6409),
        Diagnosis("another program holds a lock", f"see who does in V$LOCK; {_GOES_ON}", waiting_helps=True),
    ),
    **dict.fromkeys((-2124, -7027), Diagnosis("another connector makes the table, too", _GOES_ON, waiting_helps=True)),
    -70028: UNREACHABLE,
}


def raised() -> tuple[type[Exception], ...]:
    """What the driver raises; nothing as long as nobody has loaded it."""
    driver = sys.modules.get("dmPython")
    return (driver.Error,) if driver else ()


def diagnose(error: BaseException) -> Diagnosis:
    """What an error of dmPython means."""
    number = number_of(error)
    if not number and type(error).__name__ == "DataError":  # raised by `dameng_session.stream`
        return replace(STATES["22"], cause=f"{STATES['22'].cause} (a value that Python does not have)")
    found = STATES["P0001"] if number in USERS else _KNOWN.get(number, OTHER)
    return replace(found, cause=f"{found.cause} ({f'error {number}' if number else type(error).__name__})")


def number_of(error: BaseException) -> int:
    """The error's number; 0 if it has none."""
    return int(getattr(error.args[0] if error.args else None, "code", 0) or 0)
