"""Reads a CSV file as records with their lines; nothing in it is skipped silently.

Damage within one line spoils only that row. Damage across lines (a quote that is never closed, or closed where another
begins) makes it unclear where rows begin and end: the file is refused, before any of it is published.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from typing import TYPE_CHECKING, BinaryIO

from exchange.connect.config import Csv
from exchange.connect.csv_encoding import mismatch
from exchange.connect.drop_folder import UnusableFileError
from exchange.connect.file_rows import FileRun
from exchange.connect.source import Bad

if TYPE_CHECKING:
    from exchange.records.csv_table import LineSplitter

FIELD_BYTES = 1 << 20
LINE_CHARS = 4 << 20  # a record is far smaller; a longer line means that there are no line ends, or no text
READ_CHARS = 1 << 20  # at once, and up to the end of the last one's line
LINE_ENDS = re.compile(r"\r\n|\r|\n")
_LINE_END = re.compile(rb"\r\n|\r|\n")
csv.field_size_limit(FIELD_BYTES)


@dataclass(frozen=True)
class CsvRecord:
    """The cells of a record, or what is wrong with it; its lines are `first` to `last`, counted from 1."""

    first: int
    last: int
    cells: Sequence[str] | Bad

    @property
    def place(self) -> str:
        return f"line {self.first}" if self.first == self.last else f"lines {self.first} to {self.last}"

    @property
    def chars(self) -> int:
        return 0 if isinstance(self.cells, Bad) else sum(map(len, self.cells))


class CsvReader:
    """Reads CSV files that are as `csv` declares."""

    unit = "line"

    def __init__(self, csv: Csv) -> None:
        self._csv = csv

    def looks_whole(self, file: BinaryIO) -> bool:
        size = os.fstat(file.fileno()).st_size
        file.seek(max(0, size - 4))  # the longest line end is UTF-32's, which can end with zero bytes
        return file.read().rstrip(b"\0").endswith((b"\n", b"\r"))

    def examine(self, file: BinaryIO) -> None:
        if reason := mismatch(file, self._csv.encoding):
            raise UnusableFileError(f"{reason}, but {self._csv.encoding} is declared")

    def records(self, file: BinaryIO) -> Iterator[CsvRecord | FileRun]:
        return records(file, self._csv.encoding, self._csv.delimiter)


def records(file: BinaryIO, encoding: str, delimiter: str) -> Iterator[CsvRecord | FileRun]:
    """The header, then every record, many at once where lines are usual.

    Raises UnusableFileError if records cannot be told apart from some point on.
    """
    file.seek(0)
    text = TextIOWrapper(file, encoding=encoding, errors="replace", newline="")
    try:
        yield from _checked(_Lines(text), encoding, delimiter)
    finally:
        if not file.closed:
            text.detach()


class _Lines:
    """The lines for csv.reader, which remember the last one; or the rows that are usual lines."""

    def __init__(self, file: TextIOWrapper) -> None:
        self._file = file
        self._read, self._at = b"", 0
        self.number = 0
        self.last = ""

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if self._is_at_end():
            raise StopIteration
        found = _LINE_END.search(self._read, self._at)
        end = found.end() if found else len(self._read)
        line = self._read[self._at : end].decode("utf-8", "surrogatepass")
        self._at = end
        self.number += 1
        if len(line) >= LINE_CHARS:
            raise UnusableFileError(f"line {self.number} has more than {LINE_CHARS} characters")
        self.last = line.removeprefix("\ufeff") if self.number == 1 else line
        return self.last

    def ends_in_cr(self) -> bool:
        return self.last.endswith("\r")

    def usual(self, splitter: LineSplitter) -> Iterator[FileRun]:
        """The rows up to the first odd line."""
        while not self._is_at_end():
            made = splitter.split(self._read, self._at)
            if made.table.rows:
                yield FileRun(made.table, made.before + self.number + 1, made.chars)
            self._at = made.end
            self.number += made.lines
            if made.is_odd:
                return

    def _is_at_end(self) -> bool:
        if self._at == len(self._read):
            text = self._file.read(READ_CHARS)
            text += self._file.readline(LINE_CHARS)
            self._read, self._at = text.encode("utf-8", "surrogatepass"), 0
        return not self._read


def _checked(lines: _Lines, encoding: str, delimiter: str) -> Iterator[CsvRecord | FileRun]:
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    splitter: LineSplitter | None = None
    width, cr, torn = 0, False, False
    while True:
        if splitter is not None and not torn:
            yield from lines.usual(splitter)
        first = lines.number + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if not width or lines.number > first or _goes_on(lines.last, error):
                raise UnusableFileError(_not_csv(first, lines.number, error)) from error
            yield CsvRecord(first, first, Bad(f"not CSV: {error}"))
            continue
        if not cells:
            continue
        last = lines.number
        if not width:
            width, cr = len(cells), lines.ends_in_cr()
            splitter = None if cr or not delimiter.isascii() else _splitter(width, delimiter)
        if last > first and _holds_rows(cells, width, delimiter):
            if first == 1:
                raise UnusableFileError(f"lines 1 to {last} are one header: a quote is missing or too many")
            reason = f"lines {first} to {last} are one row, whose lines look like rows: a quote is missing or too many"
            yield from (CsvRecord(line, line, Bad(reason)) for line in range(first, last + 1))
            continue
        torn, was_torn = lines.ends_in_cr() != cr and LINE_ENDS.search(lines.last[-1:]) is not None, torn
        reason = _fault(cells, width, encoding)
        if torn or was_torn:
            reason = "a line end that is not the header's, within the row or after it"
        yield CsvRecord(first, last, Bad(reason) if reason else cells)


def _splitter(width: int, delimiter: str) -> LineSplitter:
    from exchange.records.csv_table import LineSplitter  # kernels, which only those who need them load

    return LineSplitter(width, delimiter)


def _not_csv(first: int, last: int, error: csv.Error) -> str:
    what = "a quote is never closed" if "unexpected end" in str(error) else f"a quote is missing or too many ({error})"
    return f"lines {first} to {last}: {what}"


def _goes_on(line: str, error: csv.Error) -> bool:
    """Whether the quoted value in which reading ended continues after that line."""
    return "unexpected end" in str(error) or ("field larger" in str(error) and line.count('"') % 2 == 1)


def _fault(cells: Sequence[str], width: int, encoding: str) -> str:
    if len(cells) != width:
        return f"{len(cells)} columns where the header has {width}"
    if any("\ufffd" in cell for cell in cells):
        return f"not {encoding}"
    return ""


def _holds_rows(cells: Sequence[str], width: int, delimiter: str) -> bool:
    """Whether a value of several lines probably contains rows between two stray quotes.

    Its lines then have as many delimiters as rows have: every whole line, and the last one up to the quote. If the
    value has only two lines and is in an early column, that says too little.
    """
    if width < 2:
        return False
    for index, cell in enumerate(cells):
        _, *whole, last = [*LINE_ENDS.split(cell), ""][:-1] if LINE_ENDS.search(cell) else ("", "")
        if whole and all(line.count(delimiter) == width - 1 for line in whole):
            return True
        if not whole and index >= 2 and last.count(delimiter) == index:
            return True
    return False
