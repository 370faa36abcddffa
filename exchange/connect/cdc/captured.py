"""What a capture remembers: which columns, which part of the table it read under which snapshot, which changes it took.

It is part of the source's progress, so it is committed together with the rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256

from psycopg import sql

from exchange.connect.cdc.setup import Table, TableColumn
from exchange.connect.source import Progress
from exchange.connect.window import ProgressError

BEGUN, READ, TAKEN = "begun", "read", "taken"  # the names of progress
LAST = b"\xff" * 32  # no place of a row is after it


def lsn(text: str) -> int:
    """A place in the write-ahead log as a number.

    >>> lsn("16/B374D848") == 0x16B374D848
    True
    """
    high, _, low = text.partition("/")
    return int(high, 16) << 32 | int(low, 16)


def lsn_text(at: int) -> str:
    """A place in the write-ahead log as PostgreSQL writes it.

    >>> lsn_text(lsn("16/B374D848"))
    '16/B374D848'
    """
    return f"{at >> 32:X}/{at & 0xFFFFFFFF:X}"


def place(key: Sequence[bytes | None]) -> bytes:
    """Where a row is in the order in which the table is read: a digest of its key, as `place_in_sql` computes it.

    Two keys have two places; or else a reading that is interrupted between their rows would leave one out.

    >>> len({place(key) for key in [(b"a", b"b"), (b"ab", b""), (b"", b"ab"), (None, b"ab")]})
    4
    """
    values = (b"t" if value is None else b"f" + value for value in key)
    return sha256(b"".join(sha256(value).digest() for value in values)).digest()


def place_in_sql(key: Sequence[str]) -> sql.Composed:
    """The place of a row with these columns as its key."""
    digest = sql.SQL("sha256(convert_to(concat({0} IS NULL, {0}), 'UTF8'))")
    return sql.SQL("sha256({})").format(sql.SQL(" || ").join(digest.format(sql.Identifier(name)) for name in key))


@dataclass(frozen=True)
class Visibility:
    """Which transactions a snapshot sees: all before `xmax` that were not `running`, as pg_current_snapshot() says."""

    xmax: int
    running: frozenset[int]
    text: str = field(compare=False)

    @classmethod
    def of(cls, text: str) -> Visibility:
        """From PostgreSQL's text: xmin:xmax:running,running."""
        _, xmax, running = text.split(":")
        return cls(int(xmax), frozenset(int(xid) for xid in running.split(",") if xid), text)

    def sees(self, xid: int) -> bool:
        """Whether what that transaction did is seen; `xid` has 32 bits, as in the stream.

        >>> seen = Visibility.of("4294967300:4294967310:4294967302")
        >>> [seen.sees(xid) for xid in (4294967290, 5, 6, 13, 14)]
        [True, True, False, True, False]
        """
        distance = (xid - self.xmax + 2**31) % 2**32 - 2**31
        return distance < 0 and self.xmax + distance not in self.running

    def sees_all_of(self, earlier: Visibility) -> bool:
        """Whether it sees everything that the earlier snapshot saw.

        It need not: a transaction's commit is in the log before other sessions see it, and the snapshot that comes with
        a slot is made from the log.
        """
        return self.xmax >= earlier.xmax and not any(
            xid < earlier.xmax and xid not in earlier.running for xid in self.running
        )


@dataclass(frozen=True)
class Stretch:
    """The rows up to a place, after those of the part before, and the snapshot under which they were read."""

    until: bytes
    seen: Visibility


@dataclass(frozen=True)
class Begun:
    """A capture: its number in the file, the server, and the table as it was, with the columns that are read only.

    `again`: rows of the table were published before it.
    """

    snapshot: int
    again: bool
    system: str
    table: int
    file: int
    publication: tuple[int, ...]
    columns: Mapping[str, TableColumn]

    @classmethod
    def now(cls, snapshot: int, system: str, table: Table, columns: Mapping[str, TableColumn], *, again: bool) -> Begun:
        """A capture that begins."""
        return cls(snapshot, again, system, table.oid, table.file, table.publication, columns)

    def altered(self, table: Table) -> list[str]:
        """The columns that are gone or not what they were: of another type, made anew, or rewritten.

        Rewriting a table leaves all values as they are (VACUUM FULL), or changes those of a column (ALTER … USING).
        """
        is_rewritten = table.file != self.file
        there = table.columns
        return sorted(
            name
            for name, column in self.columns.items()
            if name not in there
            or there[name][:3] != column[:3]
            or (is_rewritten and there[name].version != column.version)
        )

    def progress(self) -> dict[str, bytes | None]:
        """Begin anew: nothing is read yet, and a slot may exist or not."""
        return {
            BEGUN: _dump(
                [self.snapshot, self.again, self.system, self.table, self.file, self.publication, dict(self.columns)]
            ),
            READ: None,
            TAKEN: None,
        }


@dataclass(frozen=True)
class Captured:
    """How far a capture has come.

    `parts`: what was read of the table at first. `overlap`: where the log was after that; None while it is being read.
    A transaction that is in a part's snapshot can still come before that place. `commit`, `changes`: the last
    transaction taken, and how many of its changes, None if all.
    """

    begun: Begun | None = None
    parts: tuple[Stretch, ...] = ()
    overlap: int | None = None
    commit: int = 0
    changes: int | None = None

    @classmethod
    def of(cls, progress: Progress) -> Captured:
        """From a source's progress; raises ProgressError if it is not readable."""
        try:
            if BEGUN not in progress:
                return cls()
            snapshot, again, system, table, file, publication, columns = json.loads(progress[BEGUN])
            there = {name: TableColumn(*facts) for name, facts in columns.items()}
            begun = Begun(snapshot, again, system, table, file, tuple(publication), there)
            parts, overlap = json.loads(progress.get(READ, b"[[], null]"))
            commit, changes = json.loads(progress.get(TAKEN, b"[0, null]"))
            read = tuple(Stretch(bytes.fromhex(until), Visibility.of(seen)) for until, seen in parts)
        except (ValueError, TypeError, AttributeError) as error:
            raise ProgressError("the progress of the capture is not readable") from error
        return cls(begun, read, overlap, commit, changes)

    @property
    def after(self) -> bytes:
        """The place up to which the table was read."""
        return self.parts[-1].until if self.parts else b""

    def reading(self, until: bytes, seen: Visibility) -> Captured:
        """With the rows up to that place read too."""
        parts = self.parts[:-1] if self.parts and self.parts[-1].seen == seen else self.parts
        return replace(self, parts=(*parts, Stretch(until, seen)))

    def was_read(self, key: Sequence[bytes | None], xid: int) -> bool:
        """Whether what that transaction did to the row with that key was in what was read of the table."""
        if self.overlap is not None and len(self.parts) < 2:
            return False  # the slot has changes from the moment of its own snapshot on
        there = place(key)
        return any(part.seen.sees(xid) for part in [p for p in self.parts if there <= p.until][:1])

    def read_progress(self) -> dict[str, bytes | None]:
        """The change of progress for what was read of the table."""
        return {READ: _dump([[(part.until.hex(), part.seen.text) for part in self.parts], self.overlap])}

    def taken_progress(self) -> dict[str, bytes | None]:
        """The change of progress for the changes taken."""
        return {TAKEN: _dump([self.commit, self.changes])}


def _dump(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()
