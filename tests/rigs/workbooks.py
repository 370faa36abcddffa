"""Workbooks for tests: .xlsx and .xls as their libraries write them, .ods by hand as LibreOffice writes it."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from datetime import date, datetime, time
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape
from zipfile import ZipFile

import xlsxwriter
import xlwt
from msoffcrypto.format.ooxml import OOXMLFile

FORMATS = {date: "yyyy-mm-dd", datetime: "yyyy-mm-dd hh:mm:ss", time: "hh:mm:ss"}
ERROR = object()
"""A cell with #N/A."""


def write(
    path: Path, rows: Sequence[Sequence[Any]], *, sheet: str = "Sheet1", more: Callable[[Any, Any], None] | None = None
) -> Path:
    """An .xlsx with these rows; `more` gets the workbook and the sheet before it is written."""
    book = xlsxwriter.Workbook(str(path))
    made = book.add_worksheet(sheet)
    formats = {kind: book.add_format({"num_format": form}) for kind, form in FORMATS.items()}
    for i, row in enumerate(rows):
        for j, value in enumerate(row):
            if value is ERROR:
                made.write_formula(i, j, "=NA()", None, "#N/A")
            elif isinstance(value, str):
                made.write_string(i, j, value)
            elif type(value) in formats:
                made.write_datetime(i, j, value, formats[type(value)])
            elif value is not None:
                made.write(i, j, value)
    if more is not None:
        more(book, made)
    book.close()
    return path


def xls(path: Path, rows: Sequence[Sequence[Any]], more: Callable[[Any, Any], None] | None = None) -> Path:
    """An .xls with these rows."""
    book = xlwt.Workbook()
    made = book.add_sheet("Sheet1")
    formats = {kind: xlwt.easyxf(num_format_str=form) for kind, form in FORMATS.items()}
    for i, row in enumerate(rows):
        for j, value in enumerate(row):
            if value is ERROR:
                made.row(i).set_cell_error(j, 0x2A)
            elif value is not None:
                made.write(i, j, value, formats.get(type(value), xlwt.Style.default_style))
    if more is not None:
        more(book, made)
    book.save(str(path))
    return path


def ods(path: Path, rows: Sequence[Sequence[Any]], more: str = "") -> Path:
    """An .ods with these rows and, after them, rows in XML."""
    spaces = " ".join(
        f'xmlns:{name}="{uri}"'
        for name, uri in {
            "office": "urn:oasis:names:tc:opendocument:xmlns:office:1.0",
            "table": "urn:oasis:names:tc:opendocument:xmlns:table:1.0",
            "text": "urn:oasis:names:tc:opendocument:xmlns:text:1.0",
            "calcext": "urn:org:documentfoundation:names:experimental:calc:xmlns:calcext:1.0",
        }.items()
    )
    body = "".join(f"<table:table-row>{''.join(map(_ods_cell, row))}</table:table-row>" for row in rows)
    content = (
        f'<?xml version="1.0" encoding="UTF-8"?><office:document-content {spaces} office:version="1.3"><office:body>'
        f'<office:spreadsheet><table:table table:name="Sheet1">{body}{more}</table:table></office:spreadsheet>'
        "</office:body></office:document-content>"
    )
    with ZipFile(path, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("META-INF/manifest.xml", "<manifest/>")
        archive.writestr("content.xml", content)
    return path


def _ods_cell(value: Any) -> str:
    if value is None:
        return "<table:table-cell/>"
    if value is ERROR:
        kind = 'table:formula="of:=NA()" office:value-type="string" office:string-value="" calcext:value-type="error"'
        return f"<table:table-cell {kind}><text:p>#N/A</text:p></table:table-cell>"
    if isinstance(value, date):
        kind = f'office:value-type="date" office:date-value="{value.isoformat()}"'
        return f"<table:table-cell {kind}><text:p>day</text:p></table:table-cell>"
    if isinstance(value, str):
        return f'<table:table-cell office:value-type="string"><text:p>{escape(value)}</text:p></table:table-cell>'
    return f'<table:table-cell office:value-type="float" office:value="{value}"><text:p>n</text:p></table:table-cell>'


def protected(path: Path) -> Path:
    """The same .xlsx, to be opened with a password only."""
    made = io.BytesIO()
    OOXMLFile(io.BytesIO(path.read_bytes())).encrypt("secret", made)
    path.write_bytes(made.getvalue())
    return path
