"""A table of rows: which set of grants holds each, by the row's tag."""

from __future__ import annotations

import numpy as np
from numba import njit

SKIP = -1
UNKNOWN = -1
_FULL = 0.85  # of the places; beyond this, the table grows by half
_LEAST = 1 << 10


class Moves:
    """Which set comes after which by a pattern, as far as that is known: at most as many as `most` says."""

    def __init__(self, most: int) -> None:
        places = 1 << (2 * most).bit_length()
        self.pairs = np.full(places, UNKNOWN, np.int64)
        self.next = np.empty(places, np.int32)

    def learn(self, number: int, pattern: int, now: int) -> None:
        """From now on it is known that `now` comes after the set of that number by that pattern."""
        at = _pair_place(self.pairs, (number << 32) + pattern)
        self.pairs[at], self.next[at] = (number << 32) + pattern, now


class RowTable:
    """Open addressing, 20 bytes a place, so 24 to 36 bytes a row; `rows` is how many rows somebody holds.

    A row's tag is two words (uint64): of its entity, and of its key. A row's set is a number, 0 for the empty set: such
    rows are forgotten when the table is rebuilt.
    """

    def __init__(self) -> None:
        self._places(_LEAST)

    def _places(self, count: int) -> None:
        self._tags = np.zeros((count, 2), np.uint64)
        self._sets = np.full(count, UNKNOWN, np.int32)
        self._used = self.rows = 0

    @property
    def size_bytes(self) -> int:
        """The memory that the table takes."""
        return int(self._tags.nbytes + self._sets.nbytes)

    def put(self, tags: np.ndarray, sets: np.ndarray) -> None:
        """Set each row's set (int32[n]), in order; `tags` is uint64[n, 2]."""
        self._reserve(len(tags))
        self._count(*_put(self._tags, self._sets, tags, sets))

    def _count(self, used: int, rows: int) -> None:
        self._used += used
        self.rows += rows

    def get(self, tags: np.ndarray) -> np.ndarray:
        """Each row's set (int32[n]), 0 for rows that nobody holds."""
        sets = np.empty(len(tags), np.int32)
        _get(self._tags, self._sets, tags, sets)
        return sets

    def advance(
        self, tags: np.ndarray, patterns: np.ndarray, known: Moves, before: np.ndarray, now: np.ndarray, first: int
    ) -> int:
        """Move rows from `first` on to their next set; return at which row this stops, n at the end.

        `patterns` (int32[n]) says what becomes of each row; SKIP leaves it alone. If `known` does not say which set is
        next, this stops. `before` and `now` (int32[n], zeros at first) get the set that each row had before, and after.
        """
        self._reserve(len(tags) - first)
        moves = (known.pairs, known.next)
        stopped, *more = _advance(self._tags, self._sets, tags, patterns, *moves, before, now, first)
        self._count(*more)
        return int(stopped)

    def of_entities(self, entities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The tags and sets of all rows held of these entities (uint64[m], sorted)."""
        places = np.empty(len(self._sets), np.int64)
        found = places[: _of_entities(self._tags, self._sets, entities, places)]
        return self._tags[found], self._sets[found]

    def held(self) -> tuple[np.ndarray, np.ndarray]:
        """The tags and sets of all rows that somebody holds."""
        places = np.flatnonzero(self._sets > 0)
        return self._tags[places], self._sets[places]

    def _reserve(self, more: int) -> None:
        """Make room for so many new rows."""
        if self._used + more <= _FULL * len(self._sets):
            return
        tags, sets = self.held()
        self._places(max(_LEAST, int((len(sets) + more) * 1.5 / _FULL)))
        self._count(*_put(self._tags, self._sets, tags, sets))


@njit(nogil=True, cache=True)
def _place(table, sets, entity, key):
    """The place of that row, or the free one where it would go."""
    count = np.uint64(len(sets))
    at = ((key >> np.uint64(32)) * count) >> np.uint64(32)
    while sets[at] != UNKNOWN and (table[at, 1] != key or table[at, 0] != entity):
        at += np.uint64(1)
        if at == count:
            at = np.uint64(0)
    return at


@njit(nogil=True, cache=True)
def _put(table, sets, tags, values):
    """Return how many places were taken, and how many rows more somebody holds."""
    taken = rows = 0
    for i in range(len(tags)):
        at = _place(table, sets, tags[i, 0], tags[i, 1])
        if sets[at] == UNKNOWN:
            table[at, 0], table[at, 1] = tags[i, 0], tags[i, 1]
            taken += 1
        rows += (values[i] > 0) - (sets[at] > 0)
        sets[at] = values[i]
    return taken, rows


@njit(nogil=True, cache=True)
def _get(table, sets, tags, values):
    for i in range(len(tags)):
        values[i] = max(sets[_place(table, sets, tags[i, 0], tags[i, 1])], 0)


@njit(nogil=True, cache=True)
def _pair_place(pairs, pair):
    """The place of that pair of a set and a pattern, or the free one where it would go."""
    last = np.uint64(len(pairs) - 1)  # all bits set: there are 2ⁿ places
    at = ((np.uint64(pair) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)) & last
    while pairs[at] != UNKNOWN and pairs[at] != pair:
        at = (at + np.uint64(1)) & last
    return at


@njit(nogil=True, cache=True)
def _advance(table, sets, tags, patterns, pairs, following, before, now, first):
    taken = rows = 0
    for i in range(first, len(tags)):
        if patterns[i] == SKIP:
            continue
        at = _place(table, sets, tags[i, 0], tags[i, 1])
        was = max(sets[at], 0)
        before[i] = was
        pair = (np.int64(was) << 32) + patterns[i]
        known = _pair_place(pairs, pair)
        if pairs[known] == UNKNOWN:
            return i, taken, rows
        now[i] = following[known]
        rows += (now[i] > 0) - (was > 0)
        if sets[at] != UNKNOWN:  # written even if nothing changes: a branch on that could not be foretold
            sets[at] = now[i]
        elif now[i] > 0:
            table[at, 0], table[at, 1], sets[at] = tags[i, 0], tags[i, 1], now[i]
            taken += 1
    return len(tags), taken, rows


@njit(nogil=True, cache=True)
def _of_entities(table, sets, entities, places):
    found = 0
    for at in range(len(sets)):
        if sets[at] > 0:
            low = np.searchsorted(entities, table[at, 0])
            if low < len(entities) and entities[low] == table[at, 0]:
                places[found] = at
                found += 1
    return found


def intern(states: list[np.ndarray], rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Number the distinct combinations of states (uint8[n] each, 0 to 2).

    Return the number of each row's combination (int32[n]), and a row that has each (int64[m]).
    """
    ids, count = np.zeros(rows, np.int32), 1
    for state in states:
        count = _intern(ids, state, np.full(3 * count, -1, np.int32))
    first = np.zeros(count, np.int64)
    _first(ids, first)
    return ids, first


@njit(nogil=True, cache=True)
def _intern(ids, state, table):
    count = 0
    for i in range(len(ids)):
        at = 3 * ids[i] + state[i]
        if table[at] < 0:
            table[at] = count
            count += 1
        ids[i] = table[at]
    return count


@njit(nogil=True, cache=True)
def _first(ids, first):
    for i in range(len(ids) - 1, -1, -1):
        first[ids[i]] = i
