"""Which version of each row is published, so that a full pull publishes only what changed.

Each page of a pull adds an entry to the progress: a digest of each row's name, and the tag of its content. A later
entry stands above an earlier one. Now and then all are written again, as few entries.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from hashlib import blake2b

from exchange.connect.source import Progress

ENTRY = "versions/"
BYTES = 8  # of a name's digest, and of a tag
GONE = bytes(BYTES)
ENTRIES, ENTRY_ROWS = 64, 50_000


class Versions:
    """The tags of the published rows, by name; while the source runs, they are in a temporary SQLite database.

    What it returns as a change of progress counts as committed when it is asked again.
    """

    def __init__(self, progress: Progress) -> None:
        self._rows = sqlite3.connect("")
        self._rows.execute("CREATE TABLE versions (name BLOB PRIMARY KEY, tag BLOB NOT NULL) WITHOUT ROWID")
        self._entries = sorted(name for name in progress if name.startswith(ENTRY))
        for entry in self._entries:
            data = progress[entry]
            pairs = (
                (data[at : at + BYTES], data[at + BYTES : at + 2 * BYTES]) for at in range(0, len(data), 2 * BYTES)
            )
            self._put(pairs)

    def has(self, name: bytes, tag: bytes) -> bool:
        """Whether this version of the row is the published one."""
        found = self._rows.execute("SELECT tag FROM versions WHERE name = ?", [_digest(name)]).fetchone()
        return found is not None and found[0] == tag

    def note(self, versions: Mapping[bytes, bytes]) -> dict[str, bytes | None]:
        """The change of progress with which these rows, by name, have these tags; `GONE`: the row is deleted."""
        pairs = [(_digest(name), tag) for name, tag in versions.items()]
        self._put(pairs)
        return {self._next(): b"".join(part for pair in pairs for part in pair)} if pairs else {}

    def tidied(self) -> dict[str, bytes | None]:
        """The change of progress that writes all again, if there are many entries."""
        if len(self._entries) <= ENTRIES:
            return {}
        change: dict[str, bytes | None] = dict.fromkeys(self._entries)
        rows = self._rows.execute("SELECT name, tag FROM versions ORDER BY name")
        last, self._entries = self._entries[-1], []
        while some := rows.fetchmany(ENTRY_ROWS):
            last = self._next(last)
            change[last] = b"".join(part for pair in some for part in pair)
        return change

    def close(self) -> None:
        """Free what it holds."""
        self._rows.close()

    def _next(self, last: str = "") -> str:
        last = last or (self._entries[-1] if self._entries else f"{ENTRY}0")
        name = f"{ENTRY}{int(last.removeprefix(ENTRY)) + 1:012d}"
        self._entries.append(name)
        return name

    def _put(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        for name, tag in pairs:
            if tag == GONE:
                self._rows.execute("DELETE FROM versions WHERE name = ?", [name])
            else:
                self._rows.execute("INSERT OR REPLACE INTO versions VALUES (?, ?)", [name, tag])


def _digest(name: bytes) -> bytes:
    return blake2b(name, digest_size=BYTES).digest()
