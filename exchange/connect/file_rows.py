"""Rows of a file in columns: most of its records come as runs of many, and kernels take them as they are."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, groupby
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from exchange.connect.source import Bad, Deleted, Row
from exchange.connect.text_rows import TextColumns, TextRows

if TYPE_CHECKING:
    from exchange.records.text_program import Kind
    from exchange.records.text_table import TextTable


class FileRecord(Protocol):
    """The cells of a row of a file, or what is wrong with it; where it is, in words; its last line or row, from 1."""

    @property
    def cells(self) -> Sequence[Any] | Bad: ...

    @property
    def place(self) -> str: ...

    @property
    def last(self) -> int: ...

    @property
    def chars(self) -> int:
        """The length of its text."""
        ...


@dataclass(frozen=True, eq=False)
class FileRun:
    """Records whose cells are texts: each is one line, and of `chars` characters (both int64[n])."""

    table: TextTable
    lines: np.ndarray
    chars: np.ndarray

    def __len__(self) -> int:
        return len(self.lines)

    @property
    def last(self) -> int:
        """The last one's line."""
        return int(self.lines[-1])

    def part(self, first: int, end: int) -> FileRun:
        """Those from the first to before the end."""
        rows = np.arange(first, end)
        return FileRun(self.table.at(rows), self.lines[first:end], self.chars[first:end])


Part = FileRecord | FileRun


@dataclass(frozen=True)
class Block:
    """The records of one transaction, in order; `name` is their file's."""

    name: str
    parts: Sequence[Part]

    def __len__(self) -> int:
        return self.starts[-1]

    @cached_property
    def starts(self) -> Sequence[int]:
        """The number of the first record of each part, from 0; then how many there are."""
        return list(accumulate(map(_size, self.parts), initial=0))

    @property
    def last(self) -> int:
        """The last line or row."""
        return self.parts[-1].last

    def place(self, index: int) -> str:
        """Where a record is, in words."""
        number = bisect_right(self.starts, index) - 1
        part = self.parts[number]
        place = f"line {part.lines[index - self.starts[number]]}" if isinstance(part, FileRun) else part.place
        return f"{self.name} {place}"


class RecordPlaces(Sequence[str]):
    """The places of a block's records, for the reject file."""

    def __init__(self, block: Block) -> None:
        self._block = block

    def __len__(self) -> int:
        return len(self._block)

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < len(self):
            raise IndexError
        return self._block.place(index)


def blocks(name: str, parts: Iterator[Part], skip: int, most_rows: int, most_chars: int) -> Iterator[Block]:
    """All but the first `skip` records; a block has at most so many, and no more once it has so many characters."""
    block: list[Part] = []
    rows = chars = 0
    for part in parts:
        at = min(skip, _size(part))
        skip -= at
        while at < _size(part):
            end = min(_size(part), at + most_rows - rows)
            if isinstance(part, FileRun):
                sums = np.cumsum(part.chars[at:end])
                end = min(end, at + int(np.searchsorted(sums, most_chars - chars)) + 1)
                chars += int(sums[end - at - 1])
                block.append(part.part(at, end))
            else:
                chars += part.chars
                block.append(part)
            rows += end - at
            at = end
            if rows >= most_rows or chars >= most_chars:
                yield Block(name, block)
                block, rows, chars = [], 0, 0
    if block:
        yield Block(name, block)


def _size(part: Part) -> int:
    return len(part) if isinstance(part, FileRun) else 1


class FileRows(TextRows):
    """The rows of a block whose cells are texts.

    `deletes` says of a row whether it is a deletion, by the text in the column `deleted` (None: none is).
    """

    def __init__(
        self, header: Sequence[str], block: Block, deletes: Callable[[Row], bool], deleted: str | None
    ) -> None:
        from exchange.records.text_table import TextTable  # kernels, which only those who need them load

        tables: list[TextTable] = []
        for is_run, parts in groupby(block.parts, lambda part: isinstance(part, FileRun)):
            if is_run:
                tables += [part.table for part in parts if isinstance(part, FileRun)]
            else:
                texts = [text for part in parts for text in _texts(part, len(header))]
                tables.append(TextTable.of(texts, len(header)))
        kind: Kind = "text"
        super().__init__(TextColumns(tuple(header), (kind,) * len(header)), TextTable.joined(tables))
        self._bad: dict[int, Bad] = {}
        for index, part in zip(block.starts, block.parts, strict=False):
            if not isinstance(part, FileRun) and isinstance(part.cells, Bad):
                self._bad[index] = part.cells
        self._deletes, self._deleted = deletes, deleted

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < len(self):
            raise IndexError
        return self._made(index, map(_read, self.table.row(index)))

    def __iter__(self) -> Iterator[Row | Deleted | Bad]:
        columns = [map(_read, self.table.column(number).tolist()) for number in range(len(self.layout.names))]
        return (self._made(index, cells) for index, cells in enumerate(zip(*columns, strict=True)))

    def _made(self, index: int, cells: Iterable[str | None]) -> Row | Deleted | Bad:
        if index in self._bad:
            return self._bad[index]
        row = dict(zip(self.layout.names, cells, strict=True))
        return Deleted(row) if self._deletes(row) else row

    def values(self, column: int) -> list[Any]:
        return list(map(_read, self.table.column(column).tolist()))

    def deletions(self) -> np.ndarray:
        found = np.zeros(len(self), np.bool_)
        found[list(self._bad)] = True
        if self._deleted is not None:
            texts = self.table.column(self.layout.names.index(self._deleted)).tolist()
            told = {text: self._deletes({self._deleted: _read(text)}) for text in set(texts)}
            found |= np.fromiter((told[text] for text in texts), np.bool_, len(texts))
        return found


def _texts(part: Part, columns: int) -> Sequence[bytes | None]:
    assert not isinstance(part, FileRun)
    if isinstance(part.cells, Bad):
        return [None] * columns
    return [cell.encode("utf-8", "surrogatepass") for cell in part.cells]


def _read(text: bytes | None) -> str | None:
    return None if text is None else text.decode("utf-8", "surrogatepass")
