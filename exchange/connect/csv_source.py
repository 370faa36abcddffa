"""Rows out of CSV files that are dropped into a folder.

A file is taken when it is complete: beside it lies `<name>.done`, or its size and time have not
changed for `settle_s`. Hidden files and `*.part`, `*.tmp` are never looked at. Taking is a rename
into `taken/` under a name that was never used before, so a later drop of the same name is another
file; after the last row is committed it goes on to `done/`. A file that is not usable at all goes
to `refused/`.
"""

from __future__ import annotations

import codecs
import csv
import logging
import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from hashlib import blake2b
from io import TextIOWrapper
from itertools import count, islice
from pathlib import Path

from exchange.connect.config import SourceConfig
from exchange.connect.drop_folder import PLACES
from exchange.connect.source import Bad, Page, Progress, Row, Source
from exchange.errors import ConfigError, TransientError

FIELD_BYTES = 1 << 20
NAME_BYTES = 200  # leaves room for the stamp in file systems' 255
MARKER = ".done"
_log = logging.getLogger("exchange.connect")
csv.field_size_limit(FIELD_BYTES)


class DropFolderError(ConfigError):
    """The drop folder cannot be used."""

    code = "drop-folder"


class DropFolderUnavailableError(TransientError):
    """The drop folder does not answer for now, such as a network drive."""

    code = "drop-folder-unavailable"


class UnusableFileError(Exception):
    """The file as a whole gives no rows; it is refused with this reason."""


class CsvSource(Source):
    """Takes complete files in the order of their names; progress is the number of rows done, per file."""

    def __init__(
        self,
        config: SourceConfig,
        folder: Path,
        needed: Sequence[str],
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__({})
        assert config.csv is not None
        self._csv = config.csv
        self._page_rows = config.page_rows
        self._folder = folder
        self._needed = needed
        self._clock = clock
        self._monotonic = monotonic
        self._watched: dict[str, tuple[tuple[int, int], float]] = {}
        self._refused: set[str] = set()

    def open(self, progress: Progress) -> None:
        self._done_rows = {name: int(rows) for name, rows in progress.items()}
        for name in PLACES:
            path = self._folder / name
            try:
                path.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise DropFolderError(
                    f"{path}: {error.strerror}", remedy="create it for the connector's user"
                ) from error
            if path.is_symlink():
                raise DropFolderError(f"{path} is a link", remedy="make it a folder of its own")

    def settled(self) -> bool:
        return not self._watched

    def pages(self) -> Iterator[Page]:
        try:
            for name in self._complete():
                self._take(name)
            for path in sorted((self._folder / "taken").iterdir()):
                yield from self._file(path)
        except OSError as error:
            raise DropFolderUnavailableError(f"the drop folder: {error.strerror}") from error
        # Progress of files that a kill left behind after their last move.
        gone: dict[str, bytes | None] = dict.fromkeys(self._done_rows)
        if gone:
            self._done_rows.clear()
            yield Page([], gone)

    def _complete(self) -> list[str]:
        """The names of files to take now, in order; remembers what is still changing."""
        watched, complete = {}, []
        now = self._monotonic()
        with os.scandir(self._folder) as entries:
            found = {entry.name: entry.stat(follow_symlinks=False) for entry in entries}
        for name in sorted(found):
            if not self._wanted(name, found[name]):
                continue
            state = (found[name].st_size, found[name].st_mtime_ns)
            before, since = self._watched.get(name, (state, now))
            since = since if before == state else now
            marker = found.get(name + MARKER)
            if (marker is not None and stat.S_ISREG(marker.st_mode)) or now - since >= self._csv.settle_s:
                complete.append(name)
            else:
                watched[name] = (state, since)
        self._watched = watched
        return complete

    def _wanted(self, name: str, status: os.stat_result) -> bool:
        if name.startswith(".") or name.endswith((".part", ".tmp", MARKER)) or not fnmatchcase(name, self._csv.pattern):
            return False
        if stat.S_ISDIR(status.st_mode):
            return False
        if not stat.S_ISREG(status.st_mode) or not name.isprintable() or len(os.fsencode(name)) > NAME_BYTES:
            if name not in self._refused:
                self._refused.add(name)
                _log.warning(
                    "not a plain file with a short, printable name: left alone", extra={"path": str(self._folder)}
                )
            return False
        return True

    def _take(self, name: str) -> None:
        stamp = datetime.fromtimestamp(self._clock(), UTC).strftime("%Y%m%dT%H%M%S%f")
        names = (f"{stamp}-{number:03d}-{name}" for number in count())
        unused = next(n for n in names if not any((self._folder / place / n).exists() for place in PLACES))
        (self._folder / name).rename(self._folder / "taken" / unused)
        (self._folder / (name + MARKER)).unlink(missing_ok=True)

    def _file(self, path: Path) -> Iterator[Page]:
        key = blake2b(os.fsencode(path.name), digest_size=16).hexdigest()
        done = self._done_rows.pop(key, 0)
        try:
            with _open(path, self._csv.encoding) as file:
                rows = islice(self._rows(file), done, None)
                while block := list(islice(rows, self._page_rows)):
                    done += len(block)
                    places = [f"{path.name} line {line}" for line, _ in block]
                    yield Page([row for _, row in block], {key: b"%d" % done}, places, path.stat().st_mtime)
        except UnusableFileError as error:
            yield Page([Bad(str(error))], {}, [f"{path.name} line 1"])
            path.rename(self._folder / "refused" / path.name)
        else:
            path.rename(self._folder / "done" / path.name)
        if done:
            yield Page([], {key: None})

    def _rows(self, file: TextIOWrapper) -> Iterator[tuple[int, Row | Bad]]:
        """Every record after the header with the line on which it begins."""
        reader = csv.reader(file, delimiter=self._csv.delimiter, strict=True)
        try:
            header = [name.strip().removeprefix("\ufeff") for name in next(reader, [])]
        except csv.Error as error:
            raise UnusableFileError("the header is not CSV") from error
        missing = [name for name in self._needed if name not in header]
        if missing:
            raise UnusableFileError(f"no column {', '.join(missing)}")
        if len(set(header)) < len(header):
            raise UnusableFileError("two columns have one name")
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield line, Bad(f"not CSV: {error}")
                continue
            if cells:
                yield line, self._row(header, cells)

    def _row(self, header: list[str], cells: list[str]) -> Row | Bad:
        if len(cells) != len(header):
            return Bad(f"{len(cells)} columns where the header has {len(header)}")
        if any("\ufffd" in cell for cell in cells):
            return Bad(f"not {self._csv.encoding}")
        return dict(zip(header, cells, strict=True))


def _open(path: Path, encoding: str) -> TextIOWrapper:
    """The file as text, and never through a link; what is not of the encoding becomes U+FFFD."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise UnusableFileError(f"cannot be opened: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise UnusableFileError("not a plain file")
    name = "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding
    return TextIOWrapper(os.fdopen(handle, "rb"), encoding=name, errors="replace", newline="")
