"""What kernels take of a CSV file is what csv.reader reads of it, and is published as it is row by row."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from exchange.connect import csv_rows, file_source
from exchange.connect.config import Csv, SoftDelete, SourceConfig
from exchange.connect.csv_rows import CsvReader, records
from exchange.connect.drop_folder import UnusableFileError
from exchange.connect.file_rows import FileRun, blocks
from exchange.connect.file_source import FileSource
from exchange.connect.page_records import encode
from exchange.connect.publish import Encoder
from exchange.contract.rounding import fault
from exchange.records import csv_table
from exchange.schema import avro
from tests.property.test_connect_columns import CLOCK, DATES, MOMENTS, WORDS, logical, moments, numerals, whole
from tests.rigs.copied import encoder

DELIMITERS = (",", ",", ",", ";", "\t", "5", "e", "，", "\0")
ENCODINGS = ("utf-8", "utf-8", "utf-8", "utf-8-sig", "gb18030", "utf-16", "latin-1", "utf-7")
PLAIN = st.sampled_from(("", "a", "5", "e", '"a"', '""', '"a""b"', '"a,b"', "穗𝄞", "a\0b", "\u2028\x85", "\ufeff"))
ODD = st.sampled_from(
    ("\ufffd", 'a"b', '"a"b', '"', '"a\nb"', '"a,b\nc,d\n"', "\r", "\n", "a,b", "，", '"\ufffd"', '""""')
)
CELLS = st.integers(0, 9).flatmap(lambda n: ODD if n == 9 else PLAIN)
ENDS = st.sampled_from(("\n",) * 9 + ("\r\n", "\r\n", "\n\n", "\r", "", ",\n"))
LINES = st.builds("{},{}{}".format, CELLS, CELLS, ENDS)


def singly(data: bytes, encoding: str, delimiter: str) -> list[Any] | str:
    """The records one by one, or why the file is refused, as csv.reader alone sees it."""
    with patch.object(csv_rows, "_splitter", lambda *_: None):
        return taken(data, encoding, delimiter)


def taken(data: bytes, encoding: str, delimiter: str) -> list[Any] | str:
    found: list[Any] = []
    try:
        for part in records(BytesIO(data), encoding, delimiter):
            if isinstance(part, FileRun):
                cells = [[(text or b"").decode() for text in part.table.row(row)] for row in range(len(part))]
                places = [(f"line {line}", line) for line in part.lines.tolist()]
                found += zip(places, cells, part.chars.tolist(), strict=True)
            else:
                found.append(((part.place, part.last), part.cells, part.chars))
    except UnusableFileError as error:
        return str(error)
    return found


@given(
    st.sampled_from(DELIMITERS), st.sampled_from(ENCODINGS), st.lists(LINES, max_size=12), st.integers(1, 40),
    st.integers(1, 3), st.binary(max_size=3),
)  # fmt: skip
def test_usual_lines_are_read_as_csv_reads_them(
    delimiter: str, encoding: str, lines: list[str], read_chars: int, rows: int, stray: bytes
) -> None:
    text = "a,b\n" + "".join(lines)
    data = text.replace(",", delimiter).encode(encoding, "ignore") + stray
    with patch.object(csv_rows, "READ_CHARS", read_chars), patch.object(csv_table, "ROWS", rows):
        assert taken(data, encoding, delimiter) == singly(data, encoding, delimiter)


STRANGE = st.sampled_from(
    ("007", "-0", "1e5", "1.", ".5", "+1", " 1", "1 ", "-", "", "1_000", "٣", "0x1", "1.5.2", "NaN", "-0.0", "1-2")
)
NUMBERS = numerals(6, 4) | numerals(30, 20) | whole(64) | STRANGE | STRANGE
TRUTHS = st.sampled_from(("true", "FALSE", "True", "1", "0", "t", "yes", "tru", "trues", "11", "\x11", "ſ", ""))
TYPES: list[tuple[Any, st.SearchStrategy[str]]] = [
    ("string", WORDS),
    ("int", whole(32) | NUMBERS),
    ("long", NUMBERS),
    ("double", NUMBERS | st.floats().map(repr)),
    ("float", NUMBERS),
    ("boolean", TRUTHS),
    (logical("bytes", "decimal", precision=9, scale=2), NUMBERS),
    (logical("bytes", "decimal", precision=30, scale=20), NUMBERS),
    (logical("int", "date"), DATES | MOMENTS),
    (logical("int", "time-millis"), CLOCK | st.times().map(str)),
    (logical("long", "time-micros"), CLOCK | st.times().map(str)),
    (logical("long", "timestamp-millis"), MOMENTS | moments("", "", "Z").map(lambda at: at.replace(" ", "T"))),
    (logical("long", "timestamp-micros"), MOMENTS | moments("", "", "+08:00")),
    (logical("long", "local-timestamp-micros"), MOMENTS | moments("")),
    (logical("string", "uuid"), st.uuids().map(str) | WORDS),
    ({"type": "enum", "name": "Enum", "symbols": ["A", "B", "t"]}, WORDS),
    ("bytes", WORDS),
    ({"type": "array", "items": "string"}, WORDS),
]


class Case(NamedTuple):
    encoder: Encoder
    source: FileSource
    data: bytes
    skip: int


@st.composite
def cases(draw: st.DrawFn) -> Case:
    kinds = [draw(st.sampled_from(TYPES[:3])), *draw(st.lists(st.sampled_from(TYPES), max_size=3, unique_by=id))]
    fields = []
    for number, (of, _) in enumerate(kinds):
        made = draw(st.sampled_from([of, of, ["null", of], [of, "null"]]))
        fields.append({"name": f"f{number}", "type": made})
    schema = avro.parse(json.dumps({"type": "record", "name": "R", "fields": fields}))
    ways: list[Any] = [None, None, 0, 1, "days", "millis", "seconds"]
    rounded = {name: how for name in schema.fields if (how := draw(st.sampled_from(ways))) is not None}
    rounded = {name: how for name, how in rounded.items() if not fault(schema.fields[name], how)}
    null = draw(st.sampled_from(("", "", "A", "7", "穗")))
    key = ("f0",) if not schema.fields["f0"].nullable and draw(st.booleans()) else ()
    gone = draw(st.sampled_from([None, SoftDelete(column="f0", values=("A", 7, True, None))])) if key else None
    config = SourceConfig(
        subject="a.b", csv=Csv(folder="", null=null), round=rounded, deleted=gone,
        page_rows=draw(st.integers(1, 5)), timezone=draw(st.sampled_from(("UTC", "America/New_York"))),
    )  # fmt: skip
    texts = [of | st.sampled_from(("", null)) for _, of in kinds]
    rows = draw(st.lists(st.tuples(*texts), max_size=8))
    odd = draw(
        st.lists(st.sampled_from(("", "x\n", '"a\nb"\n', "\n", 'A"' + ",A" * (len(kinds) - 1) + "\n")), max_size=2)
    )
    lines = [",".join(map(quoted, row)) + "\n" for row in rows]
    for line in odd:
        lines.insert(draw(st.integers(0, len(lines))), line)
    data = "".join([",".join(schema.fields) + "\n", *lines]).encode()
    made = FileSource(config, Path(), CsvReader(config.csv or Csv(folder="")), None)
    return Case(encoder(config, schema, "f0", key, rounded), made, data, draw(st.integers(0, 3)))


def quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if set(cell) & set(',"\r\n') or cell == "B" else cell


def pages(case: Case, most_chars: int) -> Iterator[Any]:
    header, rest = case.source._header(BytesIO(case.data))
    for block in blocks("a.csv", rest, case.skip, case.source._config.page_rows, most_chars):
        page = case.source._page(header, block, {}, (0, 0))
        is_named = case.encoder._row_key is not None
        made = encode(case.encoder, page, named=is_named)
        strings = [column.tolist() for column in (made.keys, made.values, made.headers, made.names)]
        if is_named:
            found, unreadable = case.encoder.names(page.rows)
            strings += [sorted(found), unreadable]
        rows = list(page.rows)
        assert rows == [page.rows[index] for index in range(len(rows))]
        yield block.last, rows, list(page.places), made.rows.tolist(), strings, sorted(made.rejected)


@given(cases(), st.sampled_from((1, 20, file_source.PAGE_CHARS)))
def test_files_in_columns_are_published_as_rows(case: Case, most_chars: int) -> None:
    columns = list(pages(case, most_chars))
    with patch.object(csv_rows, "_splitter", lambda *_: None):
        assert columns == list(pages(case, most_chars))
