"""What the records of an .xls file say of its sheets. Layout: MS-XLS."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

from exchange.connect.drop_folder import UnusableFileError
from exchange.connect.extras import extra
from exchange.connect.workbook_sheet import ERROR, PROTECTED, Sheet

_BOF, _EOF, _BOUNDSHEET, _FORMULA, _BOOLERR, _FILEPASS = 0x809, 0x0A, 0x85, 0x06, 0x205, 0x2F
_CELLS = frozenset({_FORMULA, _BOOLERR, 0xBD, 0xFD, 0x203, 0x204, 0x27E})  # records of cells that are not empty


def xls_sheets(file: BinaryIO) -> list[Sheet]:
    """All sheets of an .xls workbook; damage raises UnusableFileError or any error of a parser."""
    olefile: Any = extra("olefile", "excel")
    compound = olefile.OleFileIO(file)
    if compound.exists("EncryptedPackage"):
        raise UnusableFileError(PROTECTED)
    if not compound.exists("Workbook"):
        raise UnusableFileError("not a workbook of Excel 97 or later")
    data = compound.openstream("Workbook").read()
    found: list[Sheet] = []
    for kind, body in _records(data, 0):
        if kind == _FILEPASS:
            raise UnusableFileError(PROTECTED)
        if kind == _BOUNDSHEET:
            at, state, _, length, is_wide = struct.unpack_from("<IBBBB", body)
            name = body[8:].decode("utf-16-le")[:length] if is_wide else body[8 : 8 + length].decode("latin-1")
            sheet = Sheet(name, bool(state & 3))
            for of, cell_body in _records(data, at):
                if of in _CELLS:
                    row, column, _, _, is_error = struct.unpack_from("<HHHBB", cell_body)
                    is_error = of == _BOOLERR and is_error
                    if of == _FORMULA:  # its result is a number, or a mark of what else it is
                        is_error = cell_body[6] == 2 and cell_body[12:14] == b"\xff\xff"
                    sheet.note(range(row, row + 1), range(column, column + 1), ERROR if is_error else None)
            found.append(sheet)
    return found


def _records(data: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    """The records of a part of .xls, without those of charts within it."""
    depth = 0
    while True:
        kind, length = struct.unpack_from("<HH", data, at)
        body = data[at + 4 : at + 4 + length]
        depth += (kind == _BOF) - (kind == _EOF)
        if depth == 0:
            return
        if depth == 1 and kind != _BOF:
            yield kind, body
        at += 4 + length
