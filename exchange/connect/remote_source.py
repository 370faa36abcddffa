"""Fetches files from a remote folder into a drop folder of the connector's own, each version once.

What was fetched is progress of the source: a file's name (as a digest), version and checksum. A file is put into the
drop folder, then noted on Kafka, then published from there as any dropped file is. What a kill left in the drop folder
without a note is fetched again; what is noted is not.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from hashlib import blake2b, file_digest
from pathlib import Path
from typing import NamedTuple

from exchange import private
from exchange.connect.config import SourceConfig
from exchange.connect.drop_folder import MARKER, NAME_BYTES, PLACES, UNENDED, is_visible
from exchange.connect.file_source import FileSource
from exchange.connect.remote_folder import FileVersion, RemoteFolder
from exchange.connect.source import Page, Progress, Source

OWN = "remote/"  # with this begins the progress that is not the inner source's
FORGET_S = 30 * 86_400.0  # an empty folder can be a drive that is not mounted: what is gone is known for so long


class _Note(NamedTuple):
    """Which content of a file was fetched, and since when the file is gone (Unix time)."""

    size: int
    stamp: str
    checksum: str
    gone_since: float | None = None

    def dump(self) -> bytes:
        return json.dumps(self).encode()


class RemoteSource(Source):
    """Takes complete files from `remote` in the order of their names, and publishes them through `inner`.

    A file is complete as in a drop folder: with `<name>.done` beside it, or unchanged for `settle_s`. It is deleted
    there only if the file says `delete`, and only when its content is noted.
    """

    def __init__(
        self,
        config: SourceConfig,
        folder: Path,
        remote: RemoteFolder,
        inner: FileSource,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__({})
        assert config.drop is not None
        assert config.drop.remote is not None
        self._drop, self._deletes = config.drop, config.drop.remote.delete
        self._folder, self._remote, self._inner = folder, remote, inner
        self._clock, self._monotonic = clock, monotonic
        self._watched: dict[str, tuple[FileVersion, float]] = {}
        self._unended: dict[str, FileVersion] = {}

    def open(self, progress: Progress) -> None:
        self._notes = {key: _Note(*json.loads(value)) for key, value in progress.items() if key.startswith(OWN)}
        self._inner.open({name: value for name, value in progress.items() if not name.startswith(OWN)})
        for path in self._folder.iterdir():
            if path.is_file() and not path.name.endswith(MARKER):
                note = self._notes.get(self._key(path.name))
                if note is None or note.checksum != _checksum(path):
                    path.unlink()

    def look(self) -> None:
        """Raise what would keep it from reading the folder."""
        self._remote.files()

    def settled(self) -> bool:
        return not self._watched and self._inner.settled()

    def close(self) -> None:
        self._inner.close()

    def pages(self) -> Iterator[Page]:
        yield from self._inner.pages()
        there = self._remote.files()
        yield from self._gone({self._key(name) for name in there})
        self._watched = {name: watch for name, watch in self._watched.items() if name in there}
        for name in sorted(filter(self._is_wanted, there)):
            version = there[name]
            note = self._notes.get(self._key(name))
            if note is None or (note.size, note.stamp) != version:
                is_marked = name + MARKER in there
                if not self._is_complete(name, version, is_marked=is_marked):
                    continue
                note = self._fetched(name, version, note, is_marked=is_marked)
                if note is None:
                    continue
                yield Page([], {self._key(name): note.dump()})
                self._notes[self._key(name)] = note
            if self._deletes:
                self._remote.remove(name)
            yield from self._inner.pages()

    def _is_wanted(self, name: str) -> bool:
        fits = name.isprintable() and len(os.fsencode(name)) <= NAME_BYTES
        return fits and is_visible(name) and name not in PLACES and fnmatchcase(name, self._drop.pattern)

    def _is_complete(self, name: str, version: FileVersion, *, is_marked: bool) -> bool:
        now = self._monotonic()
        before, since = self._watched.get(name, (version, now))
        since = since if before == version else now
        times = UNENDED if self._unended.get(name) == version else 1
        complete = is_marked or self._remote.is_atomic or now - since >= times * self._drop.settle_s
        self._watched[name] = version, since
        return complete

    def _fetched(self, name: str, version: FileVersion, known: _Note | None, *, is_marked: bool) -> _Note | None:
        """Put the file into the drop folder, unless its content was fetched before; None if it is not whole yet."""
        part = self._folder / f".{name}"
        after = self._remote.fetch(name, part)
        if after != version or part.stat().st_size != version.size:
            self._watched[name] = after, self._monotonic()
            return None
        if not (is_marked or self._remote.is_atomic or name in self._unended):
            with part.open("rb") as file:
                if not self._inner.looks_whole(file):
                    self._unended[name] = version
                    return None
        self._unended.pop(name, None)
        self._watched.pop(name, None)
        note = _Note(*version, _checksum(part))
        if known is not None and known.checksum == note.checksum:
            part.unlink()
        else:
            (self._folder / (name + MARKER)).touch()
            part.rename(self._folder / name)
            private.sync(self._folder / name)
            private.sync(self._folder)
        return note

    def _gone(self, there: set[str]) -> Iterator[Page]:
        """Note which files are gone, and forget them after some time."""
        now = self._clock()
        changed: dict[str, _Note | None] = {}
        for key, note in self._notes.items():
            if key in there and note.gone_since is not None:
                changed[key] = note._replace(gone_since=None)
            elif key not in there and note.gone_since is None:
                changed[key] = note._replace(gone_since=now)
            elif note.gone_since is not None and now - note.gone_since > FORGET_S:
                changed[key] = None
        if changed:
            yield Page([], {key: note and note.dump() for key, note in changed.items()})
            self._notes |= {key: note for key, note in changed.items() if note is not None}
            self._notes = {key: note for key, note in self._notes.items() if changed.get(key, note) is not None}

    def _key(self, name: str) -> str:
        return OWN + blake2b(f"{self._remote.url}\n{name}".encode(), digest_size=16).hexdigest()


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
