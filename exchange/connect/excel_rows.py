"""Reads a sheet of a workbook as records with their rows; no value is guessed.

A number stays a number: where the schema has text, the row is rejected, because Excel keeps 15 digits of an identity
number and no leading zero. A formula counts as the value that Excel computed last. Hidden rows are rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time
from hashlib import blake2b
from io import BytesIO
from typing import Any, BinaryIO
from zipfile import is_zipfile

from exchange.connect.config import Excel
from exchange.connect.drop_folder import UnusableFileError
from exchange.connect.excel_sheets import sheets
from exchange.connect.extras import extra
from exchange.connect.source import Bad, Unreadable
from exchange.connect.workbook_sheet import DAMAGED, PROTECTED, Sheet

MAX_FILE_BYTES = 256 << 20
_EXACT = 10**15  # Excel keeps 15 digits
_WHOLE = 2**53  # up to here a double tells whole numbers apart


class BadCell(Unreadable):
    """A cell that is not empty and has no value: no field accepts it."""

    @property
    def what(self) -> str:
        return self.kind


@dataclass(frozen=True)
class ExcelRecord:
    """The cells of a row, or what is wrong with it; `last` is its number, from 1."""

    sheet: str
    last: int
    cells: Sequence[Any] | Bad

    @property
    def place(self) -> str:
        return f"sheet {self.sheet} row {self.last}"

    @property
    def chars(self) -> int:
        return 0 if isinstance(self.cells, Bad) else sum(len(c) if isinstance(c, str) else 8 for c in self.cells)


class ExcelReader:
    """Reads workbooks that are as `excel` declares; raises MissingExtraError if calamine is not installed."""

    unit = "row"

    def __init__(self, excel: Excel) -> None:
        self._excel = excel
        self._calamine: Any = extra("python_calamine", "excel")
        extra("olefile", "excel")
        self._seen: tuple[bytes, list[Sheet]] = b"", []

    def looks_whole(self, file: BinaryIO) -> bool:
        file.seek(0)
        return file.read(2) != b"PK" or is_zipfile(file)

    def examine(self, file: BinaryIO) -> None:
        """All that can be wrong shows when its records are read."""

    def records(self, file: BinaryIO) -> Iterator[ExcelRecord]:
        file.seek(0)
        data = BytesIO(file.read(MAX_FILE_BYTES + 1))  # from here on, what cannot be read is damaged
        if data.getbuffer().nbytes > MAX_FILE_BYTES:
            raise UnusableFileError(f"more than {MAX_FILE_BYTES >> 20} MiB: split it, or save it as CSV")
        digest = blake2b(data.getbuffer()).digest()
        if digest != self._seen[0]:  # a file is read several times
            self._seen = digest, sheets(data)
        sheet = self._chosen(self._seen[1])
        with _understood():
            data.seek(0)
            book = self._calamine.CalamineWorkbook.from_filelike(data)
            values = book.get_sheet_by_name(sheet.name)
            sheet.merged = sheet.merged or values.merged_cell_ranges or []
        (_, left), (bottom_row, _) = values.start or (0, 0), values.end or (0, 0)
        header: list[str] = []
        is_merged = bytearray(bottom_row + 1)
        for (top, _), (bottom, _) in sheet.merged:
            is_merged[top : bottom + 1] = b"\1" * (min(bottom, bottom_row) + 1 - top)
        rows = enumerate(values.iter_rows())
        while True:
            with _understood():
                row, cells = next(rows, (-1, []))
            if row < 0:
                return
            made = [_value(cell, sheet.bad.get((row, left + i))) for i, cell in enumerate(cells)]
            if all(value is None for value in made):
                continue
            if not header:
                header = _header(sheet, row, left, made)
                yield ExcelRecord(sheet.name, row + 1, header)
            else:
                yield ExcelRecord(
                    sheet.name, row + 1, _fault(row, left, made, len(header), is_merged) or made[: len(header)]
                )

    def _chosen(self, found: list[Sheet]) -> Sheet:
        names = ", ".join(sheet.name for sheet in found)
        wanted = self._excel.sheet
        if wanted is None:
            found = [sheet for sheet in found if sheet.last_row >= 0 and not sheet.is_hidden]
            if len(found) > 1:
                raise UnusableFileError(f"it has the sheets {names}: say which with `sheet`")
        else:
            found = [sheet for sheet in found if sheet.name == wanted]
        if not found:
            raise UnusableFileError(f"no sheet {wanted} (it has {names})" if wanted else "no visible sheet has cells")
        return found[0]


def _value(cell: Any, fault: str | None) -> Any:
    """A cell's value; None if it is empty, and a BadCell if it has none."""
    if fault:
        return BadCell("", fault)
    if cell == "" and isinstance(cell, str):
        return None
    if type(cell) is float and cell.is_integer():
        if abs(cell) < _EXACT:
            return int(cell)
        if abs(cell) <= _WHOLE:
            return BadCell("", "a number of more than 15 digits, of which Excel keeps 15,")
    if type(cell) is date:  # in Excel a date is the moment at its beginning
        return datetime.combine(cell, time())
    return cell


def _header(sheet: Sheet, row: int, left: int, cells: list[Any]) -> list[str]:
    """The names, up to the last one; a column without a name has the name ""."""
    for (top, first), (bottom, last) in sheet.merged:
        if top <= row <= bottom:
            where = f"{_letters(first)}{top + 1}:{_letters(last)}{bottom + 1}"
            raise UnusableFileError(f"the header has merged cells ({where}): one row has to name the columns")
    while cells[-1] is None:
        cells = cells[:-1]
    for i, cell in enumerate(cells):
        if not isinstance(cell, str):
            what = "empty" if cell is None else "not text"
            raise UnusableFileError(f"the header's cell {_letters(left + i)}{row + 1} is {what}")
    return cells


def _fault(row: int, left: int, cells: list[Any], width: int, is_merged: bytearray) -> Bad | None:
    """What is wrong with a row as a whole."""
    if is_merged[row]:
        return Bad("a part of merged cells")
    for i, cell in enumerate(cells[width:], width):
        if cell is not None:
            return Bad(f"a cell in column {_letters(left + i)}, which has no name in the header")
    return None


def _letters(column: int) -> str:
    """The name of a column, counted from 0.

    >>> _letters(2), _letters(26), _letters(701)
    ('C', 'AA', 'ZZ')
    """
    name = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        name = chr(65 + rest) + name
    return name


@contextmanager
def _understood() -> Iterator[None]:
    """Raise UnusableFileError if calamine cannot read the file: by an error, or by a panic, which is no Exception."""
    try:
        yield
    except BaseException as error:
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            if type(error).__name__ == "PasswordError":
                raise UnusableFileError(PROTECTED) from error
            raise UnusableFileError(DAMAGED) from error
        raise
