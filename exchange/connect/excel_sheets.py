"""What the bytes of a workbook say of its sheets: which cells are errors or uncomputed formulas, and what is merged.

calamine reads the values, but gives an error (#N/A) and a formula without a value as an empty cell, and ends the whole
process if a stray cell makes a sheet too large: so the file is looked through first. Layouts: ECMA-376 part 1 (.xlsx),
OpenDocument 1.3 part 3 (.ods); for .xls see `xls_sheets`.
"""

from __future__ import annotations

import posixpath
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import BinaryIO
from xml.parsers import expat
from zipfile import BadZipFile, ZipFile

from exchange.connect.drop_folder import UnusableFileError
from exchange.connect.workbook_sheet import DAMAGED, ERROR, PROTECTED, UNCOMPUTED, Cell, Sheet
from exchange.connect.xls_sheets import xls_sheets

MAX_BYTES = 2 << 30  # of a sheet's XML, unpacked
# Damage makes anything of lengths, numbers and names.
_DAMAGE = (
    *(BadZipFile, RuntimeError, zlib.error),  # RuntimeError: a version or compression that is not known
    *(expat.ExpatError, LookupError, ValueError, EOFError, OSError, struct.error),
)


def sheets(file: BinaryIO) -> list[Sheet]:
    """All sheets of a workbook in memory; raises UnusableFileError if it is damaged, protected or of another kind."""
    file.seek(0)
    head = file.read(8)
    try:
        if head.startswith(b"PK"):
            with ZipFile(file) as archive:
                return _zipped(archive)
        if head == b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1":
            return xls_sheets(file)
    except _DAMAGE as error:
        raise UnusableFileError(DAMAGED) from error
    raise UnusableFileError(DAMAGED)


def _zipped(archive: ZipFile) -> list[Sheet]:
    if any(part.flag_bits & 1 for part in archive.infolist()):
        raise UnusableFileError(PROTECTED)
    names = archive.namelist()
    if "xl/workbook.xml" in names:
        return list(_xlsx(archive))
    if "content.xml" in names:
        if b"encryption-data" in _part(archive, "META-INF/manifest.xml"):
            raise UnusableFileError(PROTECTED)
        look = _Ods()
        _parse(archive, "content.xml", look.start)
        return look.sheets
    raise UnusableFileError("not .xlsx, .xls or .ods: save it as .xlsx" if "xl/workbook.bin" in names else DAMAGED)


def _part(archive: ZipFile, name: str) -> bytes:
    return archive.read(name) if name in archive.namelist() else b""


def _parse(
    archive: ZipFile,
    name: str,
    start: Callable[[str, Mapping[str, str]], None],
    end: Callable[[str], None] | None = None,
) -> None:
    """Call `start` and `end` for the elements of a part, without their namespaces' prefixes."""
    if archive.getinfo(name).file_size > MAX_BYTES:
        raise UnusableFileError(f"{name} in it has more than {MAX_BYTES} bytes")
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler = lambda tag, attributes: start(_local(tag), attributes)
    if end is not None:
        parser.EndElementHandler = lambda tag: end(_local(tag))
    with archive.open(name) as part:
        parser.ParseFile(part)


def _xlsx(archive: ZipFile) -> Iterator[Sheet]:
    parts: dict[str, str] = {}
    found: list[tuple[Sheet, str]] = []

    def relation(tag: str, attributes: Mapping[str, str]) -> None:
        if tag == "Relationship":
            parts[attributes["Id"]] = posixpath.join("/xl", attributes["Target"])[1:]

    def sheet(tag: str, attributes: Mapping[str, str]) -> None:
        if tag == "sheet":
            [of] = (value for name, value in attributes.items() if name.endswith(" id"))
            found.append((Sheet(attributes["name"], attributes.get("state", "visible") != "visible"), of))

    _parse(archive, "xl/_rels/workbook.xml.rels", relation)
    _parse(archive, "xl/workbook.xml", sheet)
    for each, of in found:
        look = _Xlsx(each)
        _parse(archive, posixpath.normpath(parts[of]), look.start, look.end)
        yield each


class _Xlsx:
    """Looks through a sheet of .xlsx; a row or cell that does not say where it is follows the one before."""

    def __init__(self, sheet: Sheet) -> None:
        self._sheet = sheet
        self._row = self._column = self._reach = -1
        self._kind = ""
        self._has_formula = self._has_value = False

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        if tag == "c":
            name = attributes.get("r")
            self._column = _column(name.rstrip("0123456789")) if name else self._column + 1
            self._kind = attributes.get("t", "")
            self._has_formula = self._has_value = False
        elif tag == "f":
            self._has_formula = True
        elif tag == "row":
            self._row = int(attributes["r"]) - 1 if "r" in attributes else self._row + 1
            self._column = self._reach = -1
        elif tag == "mergeCell":
            first, _, last = attributes["ref"].partition(":")
            self._sheet.merged.append((cell(first), cell(last or first)))
        else:
            self._has_value = True

    def end(self, tag: str) -> None:
        if tag == "c" and (self._has_value or self._has_formula):
            self._reach = max(self._reach, self._column)
            fault = ERROR if self._kind == "e" else None if self._has_value else UNCOMPUTED
            if fault:
                self._sheet.note(range(self._row, self._row + 1), range(self._column, self._column + 1), fault)
        elif tag == "row" and self._reach >= 0:
            self._sheet.note(range(self._row, self._row + 1), range(self._reach + 1), None)


def cell(name: str) -> Cell:
    """(row, column) from 0 of a cell's name.

    >>> cell("C12"), cell("AA1")
    ((11, 2), (0, 26))
    """
    letters = name.rstrip("0123456789")
    return int(name[len(letters) :]) - 1, _column(letters)


@lru_cache(maxsize=20_000)
def _column(letters: str) -> int:
    column = 0
    for letter in letters:
        column = column * 26 + ord(letter) - 64
    return column - 1


@lru_cache(maxsize=20_000)
def _local(tag: str) -> str:
    """An element's or attribute's name without its namespace."""
    return tag.rpartition(" ")[2]


class _Ods:
    """Looks through all sheets of .ods: rows and cells of the same content stand there once, with their number."""

    def __init__(self) -> None:
        self.sheets: list[Sheet] = []
        self._rows = range(0)
        self._column = 0

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        said = {_local(name): value for name, value in attributes.items()}
        if tag == "table":
            self.sheets.append(Sheet(said["name"]))
            self._rows = range(0)
        elif tag == "table-row":
            self._rows = range(self._rows.stop, self._rows.stop + int(said.get("number-rows-repeated", 1)))
            self._column = 0
        elif tag in ("table-cell", "covered-table-cell"):
            columns = range(self._column, self._column + int(said.get("number-columns-repeated", 1)))
            self._column = columns.stop
            tall, wide = int(said.get("number-rows-spanned", 1)), int(said.get("number-columns-spanned", 1))
            if (tall, wide) != (1, 1):
                first = (self._rows.start, columns.start)
                self.sheets[-1].merged.append((first, (first[0] + tall - 1, first[1] + wide - 1)))
            is_error = any(name.endswith("value-type") and value == "error" for name, value in attributes.items())
            if is_error or "value-type" in said:
                self.sheets[-1].note(self._rows, columns, ERROR if is_error else None)
            elif "formula" in said:
                self.sheets[-1].note(self._rows, columns, UNCOMPUTED)
