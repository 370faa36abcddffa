"""Writes single texts as Avro values: the parts of `text_to_avro`'s kernel.

Every function takes the addresses of a text's begin and end, and of where to write; it returns the address behind what
it wrote, 0 if the text is not a value that it knows.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from exchange.records.memory import byte, move, put, real, word
from exchange.records.text_program import WHOLE_NUMBER

_LARGE = 10**17 - 1  # one digit more still fits a decimal's 18
_REAL_BYTES = 48  # a longer number is left to the slow path


@njit(nogil=True, cache=True, forceinline=True)
def put_long(to, value):
    """Write a zigzag varint; return the address behind it."""
    zigzag = (np.uint64(value) << np.uint64(1)) ^ np.uint64(value >> 63)
    while zigzag >= np.uint64(0x80):
        put(to, zigzag & np.uint64(0x7F) | np.uint64(0x80))
        zigzag >>= np.uint64(7)
        to += 1
    put(to, zigzag)
    return to + 1


@njit(nogil=True, cache=True, forceinline=True)
def _digits(at, size):
    """The number that so many digits are, at most 18; -1 if they are not."""
    value = np.int64(0)
    for i in range(size):
        digit = np.int64(byte(at + i)) - 48
        if digit < 0 or digit > 9:
            return np.int64(-1)
        value = value * 10 + digit
    return value


@njit(nogil=True, cache=True)
def is_number(at, end, form):
    """Whether a text is a number without exponent; for whole ones, in the only way to write it: no 007, no -0."""
    first = at + 1 if at < end and byte(at) == 45 else at
    decimals = np.int64(-1)
    for i in range(first, end):
        letter = byte(i)
        if letter == 46 and decimals < 0 and i > first and form != WHOLE_NUMBER:
            decimals = np.int64(0)
        elif letter < 48 or letter > 57:
            return False
        else:
            decimals += decimals >= 0
    if form == WHOLE_NUMBER and byte(first) == 48:
        return end - at == 1
    return first < end and decimals != 0


@njit(nogil=True, cache=True)
def put_truth(at, size, to):
    """A truth value as people write it: true, false, 1 or 0, in small or capital letters."""
    first = byte(at) | np.uint64(32)
    is_true = first in (49, 116)
    if size == 1 and first in (48, 49) and byte(at) == first:
        put(to, np.uint64(is_true))
        return to + 1
    if size != 5 - is_true or first not in (102, 116):
        return np.int64(0)
    rest = np.uint64(0)
    for i in range(1, size):
        rest = rest << np.uint64(8) | byte(at + i) | np.uint64(32)
    if rest != (np.uint64(0x727565) if is_true else np.uint64(0x616C7365)):  # rue, alse
        return np.int64(0)
    put(to, np.uint64(is_true))
    return to + 1


@njit(nogil=True, cache=True)
def put_whole(at, end, to, bits):
    """A whole number, perhaps with zeros as decimals; 0 if it is not one of so many bits."""
    is_minus = byte(at) == 45
    at += is_minus
    value = np.uint64(0)
    first = at
    while at < end and byte(at) != 46:
        digit = byte(at) - np.uint64(48)
        if digit > np.uint64(9):
            return np.int64(0)
        value = value * np.uint64(10) + digit
        at += 1
    if at == first or at - first > 19:
        return np.int64(0)
    for i in range(at + 1, end):
        if byte(i) != 48:
            return np.int64(0)
    if value > (np.uint64(1) << np.uint64(bits - 1)) - np.uint64(not is_minus):
        return np.int64(0)
    return put_long(to, -np.int64(value) if is_minus else np.int64(value))


@njit(nogil=True, cache=True)
def put_decimal(at, end, to, scale, precision, size, rounded):  # noqa: PLR0912
    """A decimal as its unscaled number, rounded half away from zero if `rounded` is not -1; 0 if it does not fit."""
    is_minus = byte(at) == 45
    at += is_minus
    value, decimals = np.int64(0), np.int64(-1)
    kept = scale if rounded < 0 else rounded
    if at == end or byte(at) == 46:
        return np.int64(0)
    for i in range(at, end):
        digit = np.int64(byte(i)) - 48
        if digit == -2 and decimals < 0:  # the point
            decimals = np.int64(0)
            continue
        if digit < 0 or digit > 9:
            return np.int64(0)
        decimals += decimals >= 0
        if decimals <= kept:
            if value > _LARGE:
                return np.int64(0)
            value = value * 10 + digit
        elif rounded >= 0:
            value += decimals == kept + 1 and digit >= 5
        elif digit != 0:
            return np.int64(0)
    for _ in range(scale - max(min(decimals, kept), 0)):
        if value > _LARGE:
            return np.int64(0)
        value *= 10
    if precision < 19 and value >= 10**precision:
        return np.int64(0)
    value = -value if is_minus else value
    if size == 0:
        size = 1
        rest = value if value >= 0 else ~value
        while rest > 127:
            rest >>= 8
            size += 1
        to = put_long(to, size)
    for i in range(size):
        put(to + i, value >> min(8 * (size - 1 - i), 63))
    return to + size


@njit(nogil=True, cache=True)
def put_real(at, end, to, size, most):
    """A finite floating-point number; with `most`, only if it has at most so many significant digits."""
    first = at + 1 if byte(at) == 45 else at
    if end - at > _REAL_BYTES or byte(first) < 48 or byte(first) > 57:
        return np.int64(0)
    if most > 0:
        digits = zeros = 0
        for i in range(first, end):
            if byte(i) == 48:
                zeros += digits > 0
            elif byte(i) != 46:
                digits += zeros + 1
                zeros = 0
        if digits > most:
            return np.int64(0)
    value = real(at)
    if not np.isfinite(value):
        return np.int64(0)
    if size == 8:
        bits = np.float64(value).view(np.uint64)
    else:
        narrow = np.float32(value)
        if not np.isfinite(narrow):
            return np.int64(0)
        bits = np.uint64(narrow.view(np.uint32))
    for i in range(size):
        put(to + i, bits >> np.uint64(8 * i))
    return to + size


@njit(nogil=True, cache=True)
def put_uuid(at, end, to):
    """A UUID in its usual form, in small letters."""
    if end - at != 36:
        return np.int64(0)
    for i in range(36):
        letter = byte(at + i)
        if i in (8, 13, 18, 23):
            if letter != 45:
                return np.int64(0)
        elif (letter < 48 or letter > 57) and (letter < 97 or letter > 102):
            return np.int64(0)
    put(to, 72)
    move(to + 1, at, 36)
    return to + 37


@njit(nogil=True, cache=True)
def _nibble(letter):
    if 48 <= letter <= 57:
        return letter - np.uint64(48)
    return letter - np.uint64(87) if 97 <= letter <= 102 else np.uint64(16)


@njit(nogil=True, cache=True)
def put_hex(at, end, to, wanted):
    r"""Bytes written as \x and two hexadecimal digits each; with `wanted`, only if it is so many."""
    size = (end - at - 2) // 2
    if end - at < 2 or (end - at) % 2 or byte(at) != 92 or byte(at + 1) != 120 or (wanted >= 0 and size != wanted):
        return np.int64(0)
    if wanted < 0:
        to = put_long(to, size)
    for i in range(size):
        high, low = _nibble(byte(at + 2 + 2 * i)), _nibble(byte(at + 3 + 2 * i))
        if high > 15 or low > 15:
            return np.int64(0)
        put(to + i, high << np.uint64(4) | low)
    return to + size


@njit(nogil=True, cache=True)
def _days(at, end):
    """Days from 1970 to the day YYYY-MM-DD; the smallest number if it is not one."""
    if end - at < 10 or byte(at + 4) != 45 or byte(at + 7) != 45:
        return np.int64(-(1 << 62))
    year, month, day = _digits(at, 4), _digits(at + 5, 2), _digits(at + 8, 2)
    if year < 1 or month < 1 or month > 12 or day < 1:
        return np.int64(-(1 << 62))
    is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if day > (28 + is_leap if month == 2 else 30 + (month + month // 8) % 2):
        return np.int64(-(1 << 62))
    # http://howardhinnant.github.io/date_algorithms.html, days_from_civil
    year -= month <= 2
    of_era = year % 400
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return year // 400 * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468


@njit(nogil=True, cache=True)
def _clock(at, end):
    """Microseconds from midnight to the time HH:MM:SS, perhaps with up to six decimals; -1 if it is not one."""
    size = end - at
    if size < 8 or size == 9 or size > 15 or byte(at + 2) != 58 or byte(at + 5) != 58:
        return np.int64(-1)
    hour, minute, second = _digits(at, 2), _digits(at + 3, 2), _digits(at + 6, 2)
    if hour < 0 or hour > 23 or minute < 0 or minute > 59 or second < 0 or second > 59:
        return np.int64(-1)
    micros = np.int64(0)
    if size > 8:
        micros = _digits(at + 9, size - 9)
        if byte(at + 8) != 46 or micros < 0:
            return np.int64(-1)
        for _ in range(15 - size):
            micros *= 10
    return ((hour * 60 + minute) * 60 + second) * 1_000_000 + micros


@njit(nogil=True, cache=True)
def _shift(second, breaks, offsets, count):
    """The offset from UTC of a local time; a day's seconds or more if it is not known."""
    low, high = np.int64(0), np.int64(count)
    while low < high:
        middle = (low + high) // 2
        if np.int64(word(breaks + 8 * middle)) <= second:
            low = middle + 1
        else:
            high = middle
    return np.int64(word(offsets + 8 * (low - 1))) if 0 < low < count else np.int64(1 << 40)


@njit(nogil=True, cache=True)
def put_instant(at, end, to, unit, cut, zone, breaks, offsets, count):
    """A date and a time as units since 1970; 0 if it is finer than a unit, or not one."""
    if zone == 2:
        end -= 3
        if end - at < 19 or byte(end) != 43 or byte(end + 1) != 48 or byte(end + 2) != 48:  # +00
            return np.int64(0)
    if end - at < 19 or (byte(at + 10) != 32 and byte(at + 10) != 84):  # T
        return np.int64(0)
    days, micros = _days(at, end), _clock(at + 11, end)
    if days < -(1 << 61) or micros < 0:
        return np.int64(0)
    micros -= micros % cut
    if micros % unit:
        return np.int64(0)
    second = days * 86_400
    if zone == 1:
        shift = _shift(second + micros // 1_000_000, breaks, offsets, count)
        if shift > 1 << 39:
            return np.int64(0)
        second -= shift
    return put_long(to, second * (1_000_000 // unit) + micros // unit)


@njit(nogil=True, cache=True)
def put_date(at, end, to):
    """A day YYYY-MM-DD."""
    days = _days(at, end)
    return put_long(to, days) if end - at == 10 and days > -(1 << 61) else np.int64(0)


@njit(nogil=True, cache=True)
def put_day(at, end, to, is_any_time_good):
    """The day of a date and a time, which has to be midnight if not any time is good."""
    days = _days(at, end)
    micros = _clock(at + 11, end) if end - at >= 19 and byte(at + 10) == 32 else np.int64(-1)
    is_good = days > -(1 << 61) and micros >= 0 and (micros == 0 or is_any_time_good == 1)
    return put_long(to, days) if is_good else np.int64(0)


@njit(nogil=True, cache=True)
def put_time(at, end, to, unit, cut):
    """A time of day as units since midnight, cut off to so many microseconds before."""
    micros = _clock(at, end)
    micros -= micros % cut
    return put_long(to, micros // unit) if micros >= 0 and micros % unit == 0 else np.int64(0)


@njit(nogil=True, cache=True)
def is_same(at, other, size):
    """Whether so many bytes at two addresses are the same."""
    for i in range(size):  # noqa: SIM110
        if byte(at + i) != byte(other + i):
            return False
    return True
