"""Which readers hold which rows of one source partition: what the router remembers to take rows back.

A reader holds a row under whatever grant it came: a grant that follows another takes over what that one gave. The
memory is a table of rows and the sets of readers that occur in it. Routers keep it in the subject's holdings topic,
written in the transactions that change it: a row's tag (16 bytes) → the number of its set, and the number of a set
(4 bytes) → its readers; `ledger-key` → the id of the key that made the tags; `resynchronisation <id>` → how far that
has come. Nobody holds a row without a value.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from exchange.errors import ConfigError, CorruptionError
from exchange.records import build
from exchange.records.build import Batch
from exchange.records.row_table import SKIP, Moves, RowTable, intern
from exchange.records.scan import Run
from exchange.records.values import Values

NOT, PASS, STAY = 0, 1, 2
"""What becomes of a row for a view: its readers are not to have it, get it, or keep what they have of it."""
_TAG_BYTES, _NUMBER_BYTES = 16, 4
_KEY_ID = b"ledger-key"
RESYNC = b"resynchronisation "


class OtherLedgerKeyError(ConfigError):
    """This router has another ledger key than those before it: it would not know the rows that readers hold."""

    code = "other-ledger-key"
    remedy = "give all routers the same file, EXCHANGE_LEDGER_KEY_FILE"


class HoldingsError(CorruptionError):
    """The holdings topic holds what no router wrote."""

    code = "holdings"
    remedy = "find out who else may write the topic"


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows that n records are about: `tags` (uint64[n, 2]); `good` are indexes of the valid records (int64[m]).

    `ends` are the indexes of those records that delete whole entities.
    """

    tags: np.ndarray
    good: np.ndarray
    ends: np.ndarray


class Progress(NamedTuple):
    """How far a resynchronisation has come: it reads the source from `next` to before `until`."""

    next: int
    until: int

    @property
    def is_done(self) -> bool:
        """Whether there is nothing left to read."""
        return self.next >= self.until


@dataclass(frozen=True, eq=False)
class Ended:
    """The rows that somebody held of an entity when it was deleted: tags (uint64[k, 2]) and sets (int32[k])."""

    tags: np.ndarray
    sets: np.ndarray


@dataclass(frozen=True, eq=False)
class Moved:
    """Who held the rows of n records before each of these: `numbers` (int32[n]) of `sets`; `ended` by record.

    `tags` and `now` are the rows whose holders changed, in order, and the numbers of their sets now.
    """

    numbers: np.ndarray
    sets: Sequence[frozenset[str]]
    ended: Mapping[int, Ended]
    tags: np.ndarray
    now: np.ndarray

    def held_by(self, reader: str) -> np.ndarray:
        """bool[number of sets]: which sets have the reader."""
        return np.array([reader in held for held in self.sets])


@dataclass(frozen=True)
class _Move:
    """What becomes of a row: these readers lose it, and these get it."""

    without: frozenset[str]
    given: frozenset[str]


class HeldRows:
    """The rows of one partition that somebody holds.

    If a step is not committed for sure, throw the object away and load another. `key_id` is that of the ledger's key.
    """

    def __init__(self, key_id: bytes) -> None:
        self._key_id = key_id
        self._is_marked = False  # with the id of the key
        self._table = RowTable()
        self._sets = [frozenset[str]()]
        self._numbers = {frozenset[str](): 0}
        self._written = {0}  # numbers of sets that the topic has, or gets with a step before
        self._unwritten: Sequence[np.ndarray] = ()
        self.progress: dict[str, Progress] = {}

    @property
    def rows(self) -> int:
        """How many rows somebody holds."""
        return self._table.rows

    @property
    def size_bytes(self) -> int:
        """The memory that they take."""
        return self._table.size_bytes

    def load(self, run: Run) -> None:
        """Take in committed records of the holdings topic, in order."""
        names = np.flatnonzero(run.keys.length == _NUMBER_BYTES)
        for number, readers in zip(run.keys.at(names).tolist(), run.values.at(names).tolist(), strict=True):
            self._name(int.from_bytes(number or b"", "little"), frozenset(json.loads(readers or b"[]")))
        marks = np.flatnonzero(run.keys.length == len(_KEY_ID))
        for found in run.values.at(marks).tolist():
            if found != self._key_id:
                raise OtherLedgerKeyError("the holdings topic was written with another ledger key")
            self._is_marked = True
        others = np.flatnonzero(run.keys.length > _TAG_BYTES)
        for key, value in zip(run.keys.at(others).tolist(), run.values.at(others).tolist(), strict=True):
            self.progress[(key or b"").removeprefix(RESYNC).decode()] = Progress(*json.loads(value or b"[0, 0]"))
        rows = np.flatnonzero(run.keys.length == _TAG_BYTES)
        if len(rows) + len(names) + len(marks) + len(others) != run.rows:
            raise HoldingsError("a record of a holdings topic is neither a row nor a set of readers")
        values = run.values.at(rows)
        if not np.isin(values.length, (-1, _NUMBER_BYTES)).all():
            raise HoldingsError("a record of a holdings topic has no number of a set")
        tags = _matrix(run.keys.at(rows), _TAG_BYTES).view("<u8")
        sets = np.zeros(len(rows), np.int32)
        held = np.flatnonzero(values.length >= 0)
        sets[held] = _matrix(values.at(held), _NUMBER_BYTES).view("<i4")[:, 0]
        if len(sets) and not 0 <= sets.min() <= sets.max() < len(self._sets):
            raise HoldingsError("a record of a holdings topic has the number of a set that is not known")
        self._table.put(tags, sets)

    def rewrite(self) -> None:
        """With what changes next, write all rows to the topic.

        In another order than the table's: in that, all rows loaded so far would crowd in a part of the loading table.
        """
        tags, sets = self._table.held()
        order = np.argsort(tags[:, 0])
        self._unwritten = tags[order], sets[order]

    def _name(self, number: int, readers: frozenset[str]) -> None:
        while len(self._sets) <= number:
            self._sets.append(frozenset())
        self._sets[number] = readers
        self._numbers[readers] = number
        self._written.add(number)

    def advance(self, rows: Rows, states: Mapping[tuple[str, ...], np.ndarray]) -> Moved:
        """Move rows to who holds them after their records; say who held them before.

        `states`, by the readers that share a view, says what becomes of each record's row: NOT, PASS, STAY (uint8[n]).
        Readers that are not named there keep what they hold.
        """
        count = len(rows.tags)
        patterns, examples = intern(list(states.values()), count)
        moves = [
            _Move(
                frozenset(r for readers, state in states.items() if state[example] == NOT for r in readers),
                frozenset(r for readers, state in states.items() if state[example] == PASS for r in readers),
            )
            for example in (examples.tolist() if count else ())
        ]
        good, of_ended = np.zeros(count, np.bool_), np.zeros(count, np.bool_)
        good[rows.good] = True
        if len(rows.ends):
            of_ended = good & np.isin(rows.tags[:, 0], rows.tags[rows.ends, 0])
        numbers, tags, now = self._move(rows.tags, np.where(good & ~of_ended, patterns, SKIP).astype(np.int32), moves)
        if not len(rows.ends):
            return Moved(numbers, self._sets, {}, tags, now)
        ended, more, theirs = self._end(rows, np.flatnonzero(of_ended), patterns, moves, numbers)
        return Moved(numbers, self._sets, ended, np.concatenate([tags, more]), np.concatenate([now, theirs]))

    def _move(
        self, tags: np.ndarray, patterns: np.ndarray, moves: Sequence[_Move]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Move the rows whose pattern is not SKIP; return who held each before, and what changed."""
        before, now, known = np.zeros(len(tags), np.int32), np.zeros(len(tags), np.int32), Moves(len(tags))
        at = 0
        while (at := self._table.advance(tags, patterns, known, before, now, at)) < len(tags):
            was, pattern = int(before[at]), int(patterns[at])
            known.learn(was, pattern, self._next(was, moves[pattern]))
        changed = np.flatnonzero(now != before)
        return before, tags[changed], now[changed]

    def _end(
        self, rows: Rows, of_ended: np.ndarray, patterns: np.ndarray, moves: Sequence[_Move], numbers: np.ndarray
    ) -> tuple[dict[int, Ended], np.ndarray, np.ndarray]:
        """Move the rows of entities that are deleted, record by record, because one of these moves many rows.

        `of_ended` are the indexes of all records of these entities; fills in their `numbers`.
        """
        held: dict[int, dict[int, int]] = {}
        for (entity, key), number in _pairs(*self._table.of_entities(np.unique(rows.tags[rows.ends, 0]))):
            held.setdefault(entity, {})[key] = number
        first = {entity: dict(theirs) for entity, theirs in held.items()}
        ended: dict[int, Ended] = {}
        ends = set(rows.ends.tolist())
        for at in of_ended.tolist():
            entity, key = rows.tags[at].tolist()
            theirs, move = held.setdefault(entity, {}), moves[patterns[at]]
            if at in ends:
                there = [(k, number) for k, number in theirs.items() if number]
                ended[at] = Ended(_tags((entity, k) for k, _ in there), np.array([n for _, n in there], np.int32))
                theirs.update({k: self._next(number, move) for k, number in there})
            else:
                numbers[at] = theirs.get(key, 0)
                theirs[key] = self._next(int(numbers[at]), move)
        changed = [
            (entity, key, number)
            for entity, theirs in held.items()
            for key, number in theirs.items()
            if number != first.get(entity, {}).get(key, 0)
        ]
        tags, now = _tags((entity, key) for entity, key, _ in changed), np.array([n for *_, n in changed], np.int32)
        self._table.put(tags, now)
        return ended, tags, now

    def _next(self, number: int, move: _Move) -> int:
        readers = (self._sets[number] - move.without) | move.given
        if readers not in self._numbers:
            self._numbers[readers] = len(self._sets)
            self._sets.append(readers)
        return self._numbers[readers]

    def holds(self, tags: np.ndarray, reader: str) -> np.ndarray:
        """bool[n]: which of these rows (uint64[n, 2]) the reader holds."""
        held: np.ndarray = np.array([reader in readers for readers in self._sets])[self._table.get(tags)]
        return held

    def written(
        self, moved: Moved, time_ms: int, progress: Mapping[str, Progress] = MappingProxyType({})
    ) -> list[Batch]:
        """What changed, as records of the holdings topic, with the progress of resynchronisations."""
        self.progress.update(progress)
        tags, now = moved.tags, moved.now
        if self._unwritten:
            tags, now = (np.concatenate(pair) for pair in zip(self._unwritten, (tags, now), strict=True))
            self._unwritten = ()
        numbers = sorted(set(np.flatnonzero(np.bincount(now)).tolist()) - self._written)
        heads = {n.to_bytes(_NUMBER_BYTES, "little"): json.dumps(sorted(self._sets[n])).encode() for n in numbers}
        if len(now) and not self._is_marked:
            heads[_KEY_ID] = self._key_id
            self._is_marked = True
        heads |= {RESYNC + id_.encode(): json.dumps(at).encode() for id_, at in progress.items()}
        self._written.update(numbers)
        keys, values = _column(tags.astype("<u8", copy=False), _TAG_BYTES), _column(now.astype("<i4"), _NUMBER_BYTES)
        values.length[now == 0] = -1
        if heads:
            keys = Values.joined([Values.of(list(heads)), keys])
            values = Values.joined([Values.of(list(heads.values())), values])
        every = np.arange(keys.rows, dtype=np.int64)
        return build.join(keys, values, np.full(keys.rows, time_ms, np.int64), every) if keys.rows else []


def _pairs(tags: np.ndarray, sets: np.ndarray) -> Iterator[tuple[tuple[int, int], int]]:
    return zip(map(tuple, tags.tolist()), sets.tolist(), strict=True)


def _tags(pairs: Iterable[tuple[int, int]]) -> np.ndarray:
    return np.array(list(pairs), np.uint64).reshape(-1, 2)


def _matrix(values: Values, width: int) -> np.ndarray:
    """uint8[n, width]: strings that all have this many bytes."""
    made: np.ndarray = values.buf[values.start[:, None] + np.arange(width)]
    return made


def _column(matrix: np.ndarray, width: int) -> Values:
    flat = np.ascontiguousarray(matrix).view(np.uint8).reshape(-1)
    flat.flags.writeable = False
    start = np.arange(len(matrix), dtype=np.int64) * width
    return Values(flat, start, np.full(len(matrix), width, np.int64))
