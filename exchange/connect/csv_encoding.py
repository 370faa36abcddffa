"""Whether a CSV file is of the encoding that connector.yaml declares, as far as its bytes say so.

A file that is decoded with the wrong table mostly gives text, only another: UTF-8 read as gb18030 is mojibake
without one error. Not told apart: the Chinese encodings among each other (their bytes are as good in one as in
the other), and these read as latin-1; what does not decode is rejected row by row.
"""

from __future__ import annotations

import codecs
import re
from typing import BinaryIO

CHUNK_BYTES = 1 << 20
HEAD_BYTES = 1 << 16
DECISIVE = 100  # so many more characters, or faults, end the look
DISTINCT = 5  # so many different characters of two bytes are UTF-8: one in five Chinese ones is, by chance (女, 路)
MARKS = {  # longest first: UTF-32's begins with UTF-16's
    b"\xff\xfe\0\0": "utf-32",
    b"\0\0\xfe\xff": "utf-32",
    b"\x84\x31\x95\x33": "gb18030",
    b"\xef\xbb\xbf": "utf-8",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
_WIDE = re.compile("[\u0800-\ufffc\U00010000-\U0010ffff]")
_NARROW = re.compile("[\u0080-\u07ff]")


def mismatch(file: BinaryIO, encoding: str) -> str | None:
    """What speaks against `encoding`, None if nothing does. Reads on only as long as that is open."""
    family = re.sub("-(sig|le|be)$", "", codecs.lookup(encoding).name.replace("_", "-"))
    file.seek(0)
    head = file.read(HEAD_BYTES)
    marked = next((name for mark, name in MARKS.items() if head.startswith(mark)), None)
    if marked is not None:
        return None if marked == family else f"begins with the byte order mark of {marked}"
    if family in ("utf-16", "utf-32"):
        return None if b"\0" in head or not head else "has characters of one byte"
    if b"\0" in head[: head.find(b"\n") + 2]:
        return "has zero bytes in its header, as UTF-16 has"
    if family != "utf-8" and _is_utf8(file, single=len(b"\xc5\xae".decode(encoding, "replace")) == 2):
        return "is UTF-8"
    return None


def _is_utf8(file: BinaryIO, *, single: bool) -> bool:
    """Whether the file's characters beyond ASCII are UTF-8; `single`: it is declared to have one byte for each.

    Few faults among many characters of three bytes are UTF-8 that was damaged: nothing else looks like that.
    """
    file.seek(0)
    decode = codecs.getincrementaldecoder("utf-8")("replace").decode
    wide = faults = 0
    narrow: set[str] = set()
    while chunk := file.read(CHUNK_BYTES):
        text = decode(chunk)
        if text.isascii():
            continue
        faults += text.count("\ufffd")
        wide += len(_WIDE.findall(text))
        narrow.update(_NARROW.findall(text))
        if abs(wide - 20 * faults) > DECISIVE:
            break
    if wide or faults:
        return wide > 20 * faults
    return bool(narrow) and (single or max(narrow) < "\u0100" or len(narrow) >= DISTINCT)
