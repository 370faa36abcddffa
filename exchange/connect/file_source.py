"""Reads rows from files that people drop into a folder: CSV files, workbooks.

Each file is read twice: first to check that it is complete and as declared, then to publish its rows. Before each page
and at the end, it must be unchanged since it was complete: what is published is one file, not half of it and half of
another. When its last row is committed, the file goes to `done/`; an unusable file goes to `refused/`.
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO, Protocol

from exchange.connect.columns import Columns
from exchange.connect.config import SourceConfig
from exchange.connect.drop_folder import DropFolder, State, UnusableFileError, opened, state_of
from exchange.connect.file_rows import Block, FileRecord, FileRows, FileRun, RecordPlaces, blocks
from exchange.connect.published import Leftovers, forgotten
from exchange.connect.soft_delete import deletes
from exchange.connect.source import Bad, Deleted, Page, Progress, Row, Source, Unreadable
from exchange.errors import TransientError

PAGE_CHARS = 4 << 20  # in one transaction, not counting the last row
MANY = 100  # rows, which are worth columns
HEADER_CHARS = 200_000
LATER = "what came after that is not published: drop it as a file of its own, with the header"
_log = logging.getLogger("exchange.connect")


class DropFolderUnavailableError(TransientError):
    """The drop folder does not answer for now, for example because it is on a network drive."""

    code = "drop-folder-unavailable"
    remedy = "see that the drive is mounted; the connector tries again by itself"


class FileReader(Protocol):
    """Knows one kind of file; `unit` is what its places count: line, row."""

    unit: str

    def looks_whole(self, file: BinaryIO) -> bool:
        """Whether the file's end is one, as far as a look at it can tell."""
        ...

    def examine(self, file: BinaryIO) -> None:
        """Raise UnusableFileError if the file as a whole is not what it should be."""
        ...

    def records(self, file: BinaryIO) -> Iterator[FileRecord | FileRun]:
        """The header, which is no run, then every record.

        Raises UnusableFileError if it is unclear from some point on what they are.
        """
        ...


@dataclass(frozen=True)
class _At:
    """How far a file was published: the number of records, the last line, and the file's state at the time."""

    rows: int = 0
    line: int = 0
    state: State | None = None

    @classmethod
    def of(cls, value: bytes) -> _At:
        known = json.loads(value)
        if isinstance(known, int):  # written before the file's state was recorded
            return cls(known)
        rows, line, *state = known
        return cls(rows, line, (state[0], state[1]))

    def dump(self) -> bytes:
        assert self.state is not None
        return json.dumps([self.rows, self.line, *self.state]).encode()


class FileSource(Source):
    """Takes complete files in the order of their names; its progress is how far each was published.

    Fields are filled from the columns `wanted` (None: a transform may use any). A file is refused if it lacks a
    `required` column, or one that earlier files had.
    """

    def __init__(
        self,
        config: SourceConfig,
        folder: Path,
        reader: FileReader,
        wanted: Sequence[str] | None,
        required: Sequence[str] = (),
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__({})
        assert config.drop is not None
        self._config = config
        self._reader = reader
        self._path = folder
        self._folder = DropFolder(folder, config.drop, reader.looks_whole, clock, monotonic)
        self._wanted = wanted
        self._required = [*required, *([config.deleted.column] if config.deleted else [])]
        self._deletes = deletes(config.deleted)
        self._deleted = config.deleted.column if config.deleted else None
        self._columns = Columns({}, wanted, config.optional)

    def open(self, progress: Progress) -> None:
        self._columns = Columns(progress, self._wanted, self._config.optional)
        self._at = {name: _At.of(value) for name, value in progress.items() if _is_key(name)}
        self._leftovers = Leftovers(forgotten(progress))
        self._folder.make()

    def settled(self) -> bool:
        return self._folder.settled()

    def looks_whole(self, file: BinaryIO) -> bool:
        """Whether the file's end is one, as far as a look at it can tell."""
        return self._reader.looks_whole(file)

    def pages(self) -> Iterator[Page]:
        yield from self._leftovers.pages()
        try:
            self._folder.take()
            for path in self._folder.taken():
                yield from self._file(path)
            yield from self._gone()
            for path in self._folder.changed_after_publication():
                yield self._refusal(path, f"was written to after it was published; {LATER}")
                self._folder.move(path, "refused", None)
        except OSError as error:
            raise DropFolderUnavailableError(f"the drop folder: {error.strerror}") from error

    def _file(self, path: Path) -> Iterator[Page]:
        key = _key(path.name)
        at = self._at.get(key, _At())
        state = at.state or self._folder.state(path)
        if state is None:
            return
        try:
            with opened(path) as file:
                if at.rows == 0:
                    self._examine(file)
                yield from self._before(file, {key: _At(at.rows, at.line, state).dump()})
                header, rest = self._header(file)
                some = blocks(path.name, rest, at.rows, self._config.page_rows, PAGE_CHARS)
                while True:
                    block = next(some, None)
                    if not _is_as(state, file, path):
                        if at.rows == 0:  # none of it is published: once complete, it is read again from the start
                            self._at.pop(key, None)
                            self._folder.wait_again(path)
                            return
                        where = f"{self._reader.unit} {at.line}"
                        raise UnusableFileError(f"was written to after it was published to {where}; {LATER}")
                    if block is None:
                        yield from self._after(path)
                        break
                    at = self._at[key] = _At(at.rows + len(block), block.last, state)
                    yield self._page(header, block, {key: at.dump(), **self._columns.noted(header)}, state)
        except UnusableFileError as error:
            yield self._refusal(path, str(error))
            self._folder.move(path, "refused", None)
        else:
            self._folder.move(path, "done", state)
        if self._at.pop(key, None):
            yield Page([], {key: None})

    def _before(self, file: BinaryIO, progress: Mapping[str, bytes | None]) -> Iterator[Page]:
        """What comes before the rows of a complete file; `progress` says up to where it was published before."""
        yield from ()

    def _after(self, path: Path) -> Iterator[Page]:
        """What follows the rows of a file."""
        yield from ()

    def look(self) -> tuple[list[str], Page] | None:
        """The columns of a file in the folder, and its first page; UnusableFileError if it would be refused.

        None if there is no file.
        """
        path = self._folder.example()
        if path is None:
            return None
        with opened(path) as file:
            self._examine(file)
            header, rest = self._header(file)
            block = next(blocks(path.name, rest, 0, self._config.page_rows, PAGE_CHARS), None)
        return header, Page(self._rows(header, block) if block else [], {})

    def _examine(self, file: BinaryIO) -> None:
        """Raise UnusableFileError if the file is not as declared, or cannot be split into records."""
        self._reader.examine(file)
        deque(self._header(file)[1], maxlen=0)

    def _header(self, file: BinaryIO) -> tuple[list[str], Iterator[FileRecord | FileRun]]:
        """The names of the columns, and the records that follow."""
        rest = self._reader.records(file)
        first = next(rest, None)
        assert not isinstance(first, FileRun)
        cells = () if first is None else first.cells
        if isinstance(cells, Bad):
            raise UnusableFileError(f"the header is {cells.reason}")
        header = [name.strip() for name in cells]
        if sum(map(len, header)) > HEADER_CHARS:  # the progress remembers them, in one record
            raise UnusableFileError(f"the names of {len(header):,} columns have more than {HEADER_CHARS:,} characters")
        if missing := [name for name in self._required if name not in header]:
            raise UnusableFileError(f"no column {', '.join(missing)}")
        if gone := self._columns.gone(header):
            remedy = f"if it may be missing, add `optional: [{', '.join(gone)}]` and drop the file again"
            raise UnusableFileError(f"no column {', '.join(gone)}, which files before had; {remedy}")
        if len(set(header)) < len(header):
            raise UnusableFileError("two columns have one name")
        return header, rest

    def _page(self, header: list[str], block: Block, progress: Mapping[str, bytes | None], state: State) -> Page:
        return Page(self._rows(header, block), progress, RecordPlaces(block), state[1] / 1e9)

    def _rows(self, header: list[str], block: Block) -> Sequence[Row | Deleted | Bad]:
        single = [part for part in block.parts if not isinstance(part, FileRun)]
        if len(single) < len(block.parts):
            return FileRows(header, block, self._deletes, self._deleted)
        cells = [record.cells for record in single if not isinstance(record.cells, Bad)]
        if len(cells) == len(single) >= MANY and self._deleted is None:
            from exchange.connect.plain_rows import PlainRows  # kernels, which only those who need them load

            return PlainRows.of(header, cells, self._deletes, None)
        return [self._row(header, record) for record in single]

    def _row(self, header: list[str], record: FileRecord) -> Row | Deleted | Bad:
        if isinstance(record.cells, Bad):
            return record.cells
        row = dict(zip(header, record.cells, strict=True))
        if self._config.deleted and isinstance(said := row[self._config.deleted.column], Unreadable):
            return Bad(f"{self._config.deleted.column}: {said.what} where it has to say whether the row is deleted")
        return Deleted(row) if self._deletes(row) else row

    def _refusal(self, path: Path, reason: str) -> Page:
        _log.warning("a file is refused: the reject file says why", extra={"path": str(self._path)})
        return Page([Bad(f"refused: {reason}")], {}, [path.name])

    def _gone(self) -> Iterator[Page]:
        """Forget files that are no longer in `taken/`: a kill left their progress behind, or someone took them away."""
        taken = {_key(name) for name in self._folder.names("taken")}
        gone = {key: at for key, at in self._at.items() if key not in taken}
        if not gone:
            return
        moved = {_key(name) for name in self._folder.names("done", "refused")}
        unit = self._reader.unit
        lost = [
            Bad(f"someone has taken the file away when it was published to {unit} {at.line} ({at.rows} rows)")
            for key, at in gone.items()
            if key not in moved
        ]
        self._at = {key: at for key, at in self._at.items() if key not in gone}
        yield Page(lost, dict.fromkeys(gone), ["a file in taken/"] * len(lost))


def _key(name: str) -> str:
    return blake2b(os.fsencode(name), digest_size=16).hexdigest()


def _is_key(name: str) -> bool:
    """Whether progress of that name is a file's, not that of a table which the source had before."""
    return re.fullmatch("[0-9a-f]{32}", name) is not None


def _is_as(state: State, file: BinaryIO, path: Path) -> bool:
    """Whether the opened file, and the file that now has its name, are unchanged."""
    return state == state_of(os.fstat(file.fileno())) == state_of(path.lstat())
