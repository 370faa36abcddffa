"""Which rows of a subject are published now: so a source can say which of them are gone.

The names of the rows are progress of the source. Each page brings the names of its new rows and takes away those of its
deleted ones, in the transaction of the page itself; so what is remembered is exactly what is published, through any
kill and on any machine. On the cursor topic, names stand together in compressed entries of a few hundred, and an entry
is written again if a row of it comes or goes. While the source runs, they are in a temporary SQLite database, most of
it on disk.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from struct import Struct
from typing import Any

from exchange.connect.database import DatabaseUnavailableError
from exchange.connect.source import Page, Progress
from exchange.connect.window import ProgressError

OWN = "rows/"  # with this begins all progress that is not the source's own
KEY, COMPLETE, NAMES = OWN + "key", OWN + "complete", OWN + "names/"
QUESTION, ANSWER, ASKED = OWN + "question", OWN + "answer", OWN + "asked/"
ENTRY_NAMES, ENTRY_BYTES = 500, 200_000
MEMORY_KIB = 65_536  # of the temporary database, for each source
_LENGTH = Struct(">H")

_MAKE = """
CREATE TABLE names (name BLOB PRIMARY KEY, entry INTEGER NOT NULL, seen INTEGER NOT NULL, asked INTEGER NOT NULL)
WITHOUT ROWID;
CREATE INDEX entries ON names (entry);
"""


def others(progress: Progress) -> dict[str, bytes]:
    """The progress that is the source's own."""
    return {name: value for name, value in progress.items() if not name.startswith(OWN)}


def forgotten(progress: Progress) -> dict[str, bytes | None]:
    """The change of progress of a source that does not remember rows (any more): what it says would soon be wrong."""
    return {name: None for name in progress if name.startswith(OWN) and name != ANSWER}


class Leftovers:
    """Progress that a source found and does not use: it is forgotten once, before the first rows."""

    def __init__(self, change: Mapping[str, bytes | None]) -> None:
        self._change = change

    def pages(self) -> Iterator[Page]:
        """A page without rows, until it is published."""
        if self._change:
            yield Page([], self._change)
            self._change = {}


class _TemporaryFile(sqlite3.Connection):
    """A database that raises DatabaseUnavailableError if it has no room."""

    def execute(self, *statement: Any) -> sqlite3.Cursor:
        with _room():
            return super().execute(*statement)

    def executemany(self, *statement: Any) -> sqlite3.Cursor:
        with _room():
            return super().executemany(*statement)


@contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        remedy = "make room in TMPDIR, or let it name another folder; the connector tries again by itself"
        what = f"the temporary file of the published rows: {error}"
        raise DatabaseUnavailableError(what, remedy=remedy) from error


class PublishedRows:
    """The names of the rows that are published, and which of them a comparison with the source has seen.

    After a failure it is made anew, with the committed progress: what it returned as a change of progress counts as
    committed when it is asked again. `is_known`: the progress says what was published under this key. `is_complete`: it
    knows of all rows, not only of those since it was introduced.
    """

    def __init__(self, key: Sequence[str], progress: Progress) -> None:
        # A file without a name, which the system deletes whatever happens.
        self._names = sqlite3.connect("", factory=_TemporaryFile)
        self._names.executescript(f"PRAGMA cache_size = -{MEMORY_KIB}; PRAGMA journal_mode = OFF; {_MAKE}")
        self._round = 0
        self._due: dict[str, bytes | None] = {}
        self.is_complete = not others(progress)
        noted = json.dumps(list(key)).encode()
        self.is_known = progress.get(KEY) == noted
        if self.is_known:
            self._load(progress)
        else:  # nothing was noted, or names of another key
            self._due = forgotten(progress) | {KEY: noted} | ({COMPLETE: b"1"} if self.is_complete else {})
        last = self._names.execute("SELECT max(entry) FROM names").fetchone()[0]
        self._last = last or 0
        query = "SELECT count(*), total(length(name)) FROM names WHERE entry = ?"
        self._held, self._bytes = map(int, self._names.execute(query, [self._last]).fetchone())

    def _load(self, progress: Progress) -> None:
        self.is_complete = COMPLETE in progress
        for name, value in progress.items():
            if name.startswith(NAMES):
                number = int(name.removeprefix(NAMES))
                rows = ((row, number) for row in _unpacked(value))
                self._names.executemany("INSERT OR IGNORE INTO names VALUES (?, ?, 0, 0)", rows)
        for name, value in progress.items():
            if name.startswith(ASKED) and QUESTION in progress:  # a question that was cut short asks nothing
                self._names.executemany("UPDATE names SET asked = 1 WHERE name = ?", ((n,) for n in _unpacked(value)))

    def close(self) -> None:
        """Free what it holds."""
        self._names.close()

    def change(self, is_there: Mapping[bytes, bool]) -> dict[str, bytes | None]:
        """The change of progress that goes with rows that come or are gone now, by name; they count as seen."""
        touched: set[int] = set()
        known = self._entries(list(is_there))
        for name, there in is_there.items():
            if there and name not in known:
                touched.add(self._add(name))
            elif not there and name in known:
                self._names.execute("DELETE FROM names WHERE name = ?", [name])
                touched.add(known[name])
        self.see(name for name, there in is_there.items() if there and name in known)
        due, self._due = self._due, {}
        return due | {f"{NAMES}{number:010d}": self._entry(number) for number in sorted(touched)}

    def completed(self) -> dict[str, bytes | None]:
        """The change of progress that says that all rows are known."""
        self.is_complete = True
        return self.change({}) | {COMPLETE: b"1"}

    def begin(self) -> None:
        """Begin a comparison: no row was seen yet."""
        self._round += 1

    def see(self, names: Iterable[bytes]) -> None:
        """Note that these rows are there."""
        rows = ((self._round, name) for name in names)
        self._names.executemany("UPDATE names SET seen = ? WHERE name = ?", rows)

    def count(self) -> int:
        """How many rows are published."""
        return int(self._names.execute("SELECT count(*) FROM names").fetchone()[0])

    def count_gone(self) -> tuple[int, int]:
        """How many rows the comparison has not seen, and how many of them were asked about before."""
        query = "SELECT count(*), total(asked) FROM names WHERE seen < ?"
        gone, asked = self._names.execute(query, [self._round]).fetchone()
        return int(gone), int(asked)

    def gone(self, rows: int) -> Iterator[list[bytes]]:
        """The names of the rows that the comparison has not seen, so many at a time; those of one entry together."""
        query = "SELECT entry, name FROM names WHERE (entry, name) > (?, ?) AND seen < ? ORDER BY entry, name LIMIT ?"
        after = (-1, b"")
        while found := self._names.execute(query, [*after, self._round, rows]).fetchall():
            after = found[-1]
            yield [name for _, name in found]

    def asked(self) -> Iterator[bytes]:
        """Note the rows that are gone as asked about; the packed names, to be kept as progress."""
        for names in self.gone(ENTRY_NAMES):
            self._names.executemany("UPDATE names SET asked = 1 WHERE name = ?", ((name,) for name in names))
            yield _packed(names)

    def answered(self) -> None:
        """Forget which rows were asked about."""
        self._names.execute("UPDATE names SET asked = 0 WHERE asked")

    def _entries(self, names: Sequence[bytes]) -> dict[bytes, int]:
        """In which entry each of the rows is that are published."""
        found: dict[bytes, int] = {}
        for at in range(0, len(names), ENTRY_NAMES):
            some = names[at : at + ENTRY_NAMES]
            query = f"SELECT name, entry FROM names WHERE name IN ({', '.join('?' * len(some))})"
            found.update(self._names.execute(query, some))
        return found

    def _add(self, name: bytes) -> int:
        if self._held >= ENTRY_NAMES or self._bytes + len(name) > ENTRY_BYTES:
            self._last += 1
            self._held = self._bytes = 0
        self._held += 1
        self._bytes += len(name)
        self._names.execute("INSERT INTO names VALUES (?, ?, ?, 0)", [name, self._last, self._round])
        return self._last

    def _entry(self, number: int) -> bytes | None:
        names = [row[0] for row in self._names.execute("SELECT name FROM names WHERE entry = ?", [number])]
        return _packed(names) if names else None


def _packed(names: Sequence[bytes]) -> bytes:
    return zlib.compress(b"".join(part for name in names for part in (_LENGTH.pack(len(name)), name)))


def _unpacked(value: bytes) -> Iterator[bytes]:
    try:
        data = zlib.decompress(value)
    except zlib.error as error:
        raise ProgressError("the names of the published rows are not readable") from error
    at = 0
    while at < len(data):
        start = at + _LENGTH.size
        at = start + _LENGTH.unpack_from(data, at)[0]
        yield data[start:at]
