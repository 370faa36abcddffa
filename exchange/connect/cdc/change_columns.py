"""Takes the changes of one table out of the messages of `pgoutput`, all at once: the twin of `Following.take`.

It knows the messages that make up nearly the whole of a stream; at one that says something else it stops.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from exchange.connect.cdc.logged_rows import (
    ALL_CHANGES,
    GONE,
    GONE_KEY_ONLY,
    LACKING,
    WRITTEN,
    LoggedChanges,
    MessageLayout,
    StreamState,
)
from exchange.records.memory import address
from exchange.records.text_table import TextTable
from exchange.records.text_values import is_same
from exchange.records.values import Values

COMMIT, AT_US, XID, TAKEN, LAST_COMMIT, LAST_CHANGES, ENDED = range(7)  # as in StreamState
KIND, CHANGE, CHANGE_XID, CHANGE_AT_US, MESSAGE, FACTS = range(6)  # as in LoggedChanges

_UNCHANGED = -2
_BROKEN = -1


def take(
    messages: Values, at: int, layout: MessageLayout, state: StreamState, most: int
) -> tuple[int, StreamState, LoggedChanges]:
    """Take messages from `at` on, until there may be more rows than `most`; return which message is the next.

    The last byte of the buffer belongs to no message. Raises ValueError if a message is not of that protocol.
    """
    room, columns = min(most + 1, 2 * (messages.rows - at)), len(layout.places)
    start, length = np.empty((columns, room), np.int64), np.empty((columns, room), np.int64)
    facts, moved = np.empty((FACTS, room), np.int64), np.array(state, np.int64)
    at, rows = _take(*messages, at, *layout, moved, start, length, facts)
    if at == _BROKEN:
        raise ValueError("not a message of pgoutput")
    table = TextTable(messages.buf, start[:, :rows], length[:, :rows])
    return at, StreamState(*moved.tolist()), LoggedChanges(table, *facts[:, :rows])


@njit(nogil=True, cache=True)
def _take(buf, begin, size, at, relation, places, key, identity, state, start, length, facts):  # noqa: PLR0912
    old, new = np.empty((identity.size, 2), np.int64), np.empty((identity.size, 2), np.int64)
    row = 0
    while at < begin.size and row + 2 <= start.shape[1]:
        p, end = begin[at], begin[at] + size[at]
        what = buf[p] if p < end else 0
        if what in (82, 84):  # R, T: the table is another one from here on
            break
        if what == 66:  # B
            if end - p < 21:
                return _BROKEN, row
            state[COMMIT], state[AT_US], state[XID] = _int(buf, p + 1, 8), _int(buf, p + 9, 8), _int(buf, p + 17, 4)
            state[TAKEN] = 0
        elif what == 67:  # C
            if end - p < 26:
                return _BROKEN, row
            if state[TAKEN] > 0 and state[COMMIT] >= state[LAST_COMMIT]:
                state[LAST_COMMIT], state[LAST_CHANGES] = state[COMMIT], ALL_CHANGES
            state[ENDED] = _int(buf, p + 10, 8)
        elif what in (68, 73, 85):  # D, I, U
            if end - p < 5:
                return _BROKEN, row
            if _int(buf, p + 1, 4) != relation or not _is_new(state):
                at += 1
                continue
            p += 5
            has_old = has_new = is_whole = False
            while p < end:
                part = buf[p]
                if part == 78:  # N
                    has_new = True
                    p = _values(buf, p + 1, end, new)
                else:
                    has_old, is_whole = True, part == 79  # O
                    p = _values(buf, p + 1, end, old)
                if p < 0:
                    return _BROKEN, row
            if has_old and has_new:
                for a in range(identity.size):
                    if new[a, 1] == _UNCHANGED and (is_whole or identity[a]):
                        new[a] = old[a]
            if has_old and not (has_new and _is_same_key(buf, old, new, key)):
                _put(old, places, start, length, row)
                facts[KIND, row] = GONE if is_whole else GONE_KEY_ONLY
                _note(facts, row, state, at)
                row += 1
            if has_new:
                lacks = _put(new, places, start, length, row)
                facts[KIND, row] = LACKING if lacks else WRITTEN
                _note(facts, row, state, at)
                row += 1
        at += 1
    return at, row


@njit(nogil=True, cache=True)
def _int(buf, at, size):
    value = np.int64(0)
    for i in range(size):
        value = value << np.int64(8) | np.int64(buf[at + i])
    return value


@njit(nogil=True, cache=True)
def _is_new(state):
    """Count a change; whether it comes after the last one that was taken, which it then is itself."""
    state[TAKEN] += 1
    if state[COMMIT] < state[LAST_COMMIT]:
        return False
    if state[COMMIT] == state[LAST_COMMIT] and (
        state[LAST_CHANGES] == ALL_CHANGES or state[TAKEN] <= state[LAST_CHANGES]
    ):
        return False
    state[LAST_COMMIT], state[LAST_CHANGES] = state[COMMIT], state[TAKEN]
    return True


@njit(nogil=True, cache=True)
def _values(buf, p, end, out):
    """Note where each value of a row is, and how long; return the place behind them, or -1."""
    if end - p < 2 or _int(buf, p, 2) != out.shape[0]:
        return -1
    p += 2
    for a in range(out.shape[0]):
        if buf[p] == 116:  # t: text
            if end - p < 5:
                return -1
            out[a, 0], out[a, 1] = p + 5, _int(buf, p + 1, 4)
            p += 5 + out[a, 1]
        else:  # n: null; u: unchanged
            out[a, 0], out[a, 1] = p, -1 if buf[p] == 110 else _UNCHANGED
            p += 1
        if p > end:
            return -1
    return p


@njit(nogil=True, cache=True)
def _is_same_key(buf, one, other, key):
    base = address(buf)
    for place in key:
        size = one[place, 1]
        if size != other[place, 1] or not is_same(base + one[place, 0], base + other[place, 0], size):
            return False
    return True


@njit(nogil=True, cache=True)
def _put(values, places, start, length, row):
    """Write a row's columns; return whether one is missing."""
    lacks = False
    for column in range(places.size):
        start[column, row], length[column, row] = values[places[column], 0], values[places[column], 1]
        lacks |= length[column, row] == _UNCHANGED
    return lacks


@njit(nogil=True, cache=True)
def _note(facts, row, state, at):
    facts[CHANGE, row], facts[CHANGE_XID, row] = state[TAKEN], state[XID]
    facts[CHANGE_AT_US, row], facts[MESSAGE, row] = state[AT_US], at
