"""A file of another encoding than the declared one is refused, as far as its bytes say so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from exchange.connect.config import Csv
from exchange.connect.csv_encoding import CHUNK_BYTES
from exchange.connect.source import Bad
from tests.rigs.drops import Drop

TEXT = "id,name\n1,广州市天河区\n"


def take(folder: Path, declared: str, data: bytes) -> list[Any]:
    (folder / "a.csv").write_bytes(data)
    return Drop(folder, settle_s=0, encoding=declared).take()


@pytest.mark.parametrize("declared", ["gb18030", "GBK", "gb2312", "big5", "latin-1", "cp1252", "shift_jis", "utf-16"])
def test_utf8_that_is_declared_as_something_else(tmp_path: Path, declared: str) -> None:
    [bad] = take(tmp_path, declared, TEXT.encode())
    assert isinstance(bad, Bad)
    assert bad.reason.startswith("refused: is UTF-8" if declared != "utf-16" else "refused: has characters of one byte")
    assert declared in bad.reason


@pytest.mark.parametrize(
    ("declared", "data"),
    [
        ("gb18030", "id,name\n1,café 5 m²\n".encode()),
        ("gb18030", "id,name\n1,Россия\n".encode()),
        ("latin-1", "id,name\n1,Ω\n".encode()),
        ("gb18030", "id,name\n1,\N{FAMILY}\n".encode()),
        ("gb18030", b"\xef\xbb\xbfid,name\n1,x\n"),
        ("gb18030", ("id,name\n" + "1,x\n" * CHUNK_BYTES + "2,广州市\n").encode()),  # the last row says it
        ("gb18030", ("id,name\n1," + "x" * (CHUNK_BYTES - 12) + "\n2,广州市\n").encode()),  # across two chunks
        ("gb18030", TEXT.encode()[:-2]),  # cut within a character
        ("gb18030", (TEXT + "2,天河区天河区天河区天河区\n").encode() + b"3,\xff\n" + TEXT.encode()),  # one bad byte
        ("utf-8", TEXT.encode("utf-16")),
        ("utf-8", TEXT.encode("utf-16-le")),
        ("utf-8", "编号\n1\n".encode("utf-16-le")),
        ("utf-8", TEXT.encode("utf-32")),
        ("gb18030", TEXT.encode("utf-16-be")),
        ("utf-16", b"id,name\n1,x\n"),
        ("utf-16", TEXT.encode("utf-16-le")),  # which is no byte order without its mark
        ("UTF_32", TEXT.encode("utf-32-be")),
        ("utf-16-be", b"id,name\n1,x\n"),
        ("utf-8", b"\x84\x31\x95\x33" + TEXT.encode("gb18030")),
        ("big5", b"\x84\x31\x95\x33" + TEXT.encode("gb18030")),
    ],
)
def test_other_encodings_that_tell(tmp_path: Path, declared: str, data: bytes) -> None:
    [bad] = take(tmp_path, declared, data)
    assert isinstance(bad, Bad)
    assert declared in bad.reason


@pytest.mark.parametrize(
    "declared", ["utf-8", "gb18030", "gbk", "gb2312", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
)
def test_what_is_as_declared_flows(tmp_path: Path, declared: str) -> None:
    assert take(tmp_path, declared, TEXT.encode(declared)) == [{"id": "1", "name": "广州市天河区"}]


@pytest.mark.parametrize("name", ["女", "女工", "目录", "联通", "x", "é" * 100])
def test_chinese_text_that_could_be_utf8_by_chance_flows(tmp_path: Path, name: str) -> None:
    """`女` in gb18030 is `Ů` in UTF-8: where so little speaks for it, the file is what it is declared to be."""
    data = f"id,name\n1,{name}\n".encode("gb18030") * 1
    assert take(tmp_path, "gb18030", data) == [{"id": "1", "name": name}]


def test_a_byte_of_a_character_is_no_line_end(tmp_path: Path) -> None:
    data = "吊牌,id\n一,1\n".encode("utf-16-le")
    assert data[0] == ord("\n")
    assert take(tmp_path, "utf-16-le", data) == [{"吊牌": "一", "id": "1"}]


def test_latin1_flows(tmp_path: Path) -> None:
    assert take(tmp_path, "latin-1", "id,name\n1,José\n".encode("latin-1")) == [{"id": "1", "name": "José"}]


@pytest.mark.parametrize("encoding", ["base64", "rot13", "hex", "undefined", "utf-99", "zlib", "idna", "punycode"])
def test_what_is_no_encoding_of_text_is_refused_in_the_file(encoding: str) -> None:
    with pytest.raises(ValidationError, match="not a text encoding"):
        Csv(folder="x", encoding=encoding)


@pytest.mark.parametrize("delimiter", ['"', "\n", "\r", ""])
def test_what_cannot_be_between_cells_is_refused_in_the_file(delimiter: str) -> None:
    with pytest.raises(ValidationError):
        Csv(folder="x", delimiter=delimiter)
