"""Whether a CSV file has the encoding that connector.yaml declares, as far as its bytes can tell.

A file decoded with the wrong table mostly yields text, only the wrong text: UTF-8 read as gb18030 is mojibake without a
single error. The Chinese encodings cannot be told from each other, nor from latin-1, because their bytes are valid in
each of them. Rows that cannot be decoded are rejected one by one.
"""

from __future__ import annotations

import codecs
import re
from typing import BinaryIO

CHUNK_BYTES = 1 << 20
HEAD_BYTES = 1 << 16
DECISIVE = 100  # the reading stops once there are so many more characters than faults, or the other way round
DISTINCT = 5  # at least so many different two-byte characters are needed: some Chinese text looks like one (女, 路)
MARKS = {  # longest first: UTF-32's mark begins with UTF-16's
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
    """What speaks against `encoding`; None if nothing does. Reads only as far as it must to decide."""
    declared = codecs.lookup(encoding).name.replace("_", "-")
    family = re.sub("-(sig|le|be)$", "", declared)
    file.seek(0)
    head = file.read(HEAD_BYTES)
    marked = next((name for mark, name in MARKS.items() if head.startswith(mark)), None)
    if marked is not None:
        return None if marked == family else f"begins with the byte order mark of {marked}"
    if family in ("utf-16", "utf-32"):
        if not head:
            return None
        if b"\0" not in head:
            return "has characters of one byte"
        return "has no byte order mark, without which -le or -be has to say the order" if declared == family else None
    if b"\0" in head[: head.find(b"\n") + 2]:
        return "has zero bytes in its header, as UTF-16 has"
    if family != "utf-8" and _is_utf8(file, single=len(b"\xc5\xae".decode(encoding, "replace")) == 2):
        return "is UTF-8"
    return None


def _is_utf8(file: BinaryIO, *, single: bool) -> bool:
    """Whether the file's characters beyond ASCII are UTF-8; `single`: its declared encoding has one byte for each.

    A few faults among many three-byte characters mean damaged UTF-8: no other encoding looks like that.
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
