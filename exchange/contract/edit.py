"""Adds, changes and removes grants in the contract file; every other byte of the file stays as it was."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from exchange.contract.model import Grant
from exchange.document.yaml import Document, read
from exchange.errors import ConfigError

_WIDTH = 1 << 30
_BY_HAND = "edit the file by hand, then run this again"


class EditError(ConfigError):
    """The contract file is written in a way that is not safe to edit by machine."""

    code = "contract-edit"
    remedy = "write it plainly, or edit the file by hand"


@dataclass(frozen=True)
class _Splice:
    start: int
    end: int
    text: str


def rewritten(data: bytes, *, put: Sequence[Grant] = (), drop: Collection[str] = ()) -> bytes:
    """Return the file with the grants in `put` written and those whose ids are in `drop` removed.

    A grant that the file already has is changed in place: only the values that differ are rewritten, or the
    whole grant if a key is added or removed. New grants follow the last one. A dropped grant takes the
    comments among its lines with it; dropping an id that is not there is fine. Line endings and indentation
    follow the file. Raises EditError if the file is not plain YAML, or if the result would change anything else.
    """
    document = read(data)
    if document.problems:
        raise EditError(f"the contract file has a mistake: {document.problems[0]}", remedy="correct it first")
    mark = data[:3] if data.startswith(b"\xef\xbb\xbf") else b""
    text = data[len(mark) :].decode()
    file = _File(document, text)
    for splice in sorted(file.splices(put, drop), key=lambda splice: splice.start, reverse=True):
        text = text[: splice.start] + splice.text + text[splice.end :]
    try:
        result = mark + text.encode()
    except UnicodeEncodeError as error:
        raise EditError("a grant has text that is not Unicode", remedy="write it again") from error
    if put:
        # Dropping removes whole entries of a list: nothing else can change. What is put in is text of people: check.
        _require_same(document, read(result), put, drop)
    return result


class _File:
    """Finds where the grants of a document are in its text."""

    def __init__(self, document: Document, text: str) -> None:
        self._text = text
        self._newline = "\r\n" if "\r\n" in text else "\n"
        if not isinstance(document.root, MappingNode):
            raise EditError("the contract file is not a mapping", remedy=_BY_HAND)
        self._root = document.root
        found = {key.value: (key, value) for key, value in self._root.value}
        self._key, value = found.get("grants", (None, None))
        self._list: SequenceNode | None = None
        if isinstance(value, SequenceNode) and value.value:
            if value.flow_style:
                raise EditError("the grants are in brackets", remedy="write one grant below the other, with dashes")
            self._list = value
        self._value = value
        self._values: list[Mapping[str, Any]] = document.value.get("grants") or []
        if not isinstance(self._values, list) or not all(isinstance(each, dict) for each in self._values):
            raise EditError("the grants are not a list of mappings", remedy=_BY_HAND)

    def splices(self, put: Sequence[Grant], drop: Collection[str]) -> Iterator[_Splice]:
        """What to write at which positions; no two splices overlap."""
        nodes = self._list.value if self._list else []
        wanted = {grant.id: grant for grant in put}
        dropped = [node for node, value in zip(nodes, self._values, strict=True) if value.get("id") in drop]
        for node, value in zip(nodes, self._values, strict=True):
            if node in dropped:
                yield _Splice(*self._lines(node), "")
            elif grant := wanted.pop(str(value.get("id")), None):
                yield from self._changed(node, value, grant)
        if wanted:
            yield from self._added(list(wanted.values()))
        elif nodes and len(dropped) == len(nodes):
            yield _Splice(self._colon(), self._colon(), " []")

    def _changed(self, node: MappingNode, value: Mapping[str, Any], grant: Grant) -> Iterator[_Splice]:
        before, after = entry(Grant.model_validate(value)), entry(grant)
        if before == after:
            return
        places = {key.value: place for key, place in node.value}
        if before.keys() != after.keys() or not before.keys() <= places.keys():
            start = node.start_mark.index
            yield _Splice(start, _end(node), self._block(grant, node.start_mark.column).strip())
        else:
            for key in after:
                yield from _differences(places[key], key, before[key], after[key])

    def _added(self, grants: Sequence[Grant]) -> Iterator[_Splice]:
        dash, column = 2, 4
        head = ""
        if self._list:
            last = self._list.value[-1]
            dash, column = self._list.start_mark.column, last.start_mark.column
            at = self._lines(last)[1]
        elif self._key is None:
            at, head = self._line_end(_end(self._root)), f"grants:{self._newline}"
        else:
            colon = end = self._colon()
            if self._value and self._value.start_mark.index < self._value.end_mark.index:  # `[]`, `null` or `~`
                end = self._value.end_mark.index
                yield _Splice(colon, end, "")
            at = self._line_end(end)
        lead = " " * dash + "-" + " " * (column - dash - 1)
        entries = "".join(lead + self._block(grant, column).lstrip() for grant in grants)
        break_ = "" if self._text[:at].endswith("\n") else self._newline
        yield _Splice(at, at, break_ + head + entries)

    def _colon(self) -> int:
        """The index just after the colon of `grants:`."""
        assert self._key is not None
        return self._text.index(":", self._key.end_mark.index) + 1

    def _block(self, grant: Grant, column: int) -> str:
        """The grant as lines indented to that column, with the file's line endings."""
        lines = _dump(entry(grant)).splitlines()
        return "".join(" " * column + line + self._newline for line in lines)

    def _lines(self, node: Node) -> tuple[int, int]:
        """Start and end of the entry's lines: from its dash to its last line and the comments that belong to it."""
        assert self._list is not None
        column = self._list.start_mark.column
        dash = re.compile(rf"^[ ]{{{column}}}-(?=\s)", re.MULTILINE)
        start = [found.start() for found in dash.finditer(self._text, 0, node.start_mark.index + 1)][-1]
        end = self._line_end(_end(node))
        comment = re.compile(rf"[ ]{{{column + 1},}}#[^\n]*(\n|\Z)")
        while found := comment.match(self._text, end):
            end = found.end()
        return start, end

    def _line_end(self, index: int) -> int:
        """The end of the line that holds the character before `index`, with its line break."""
        if self._text[:index].endswith("\n"):
            return index
        found = self._text.find("\n", index)
        return len(self._text) if found < 0 else found + 1


def entry(grant: Grant) -> dict[str, Any]:
    """The grant as the file writes it: with the file's names, and without values that are the default."""
    values = grant.model_dump(by_alias=True, exclude_defaults=True)
    for name, mask in values.get("masks", {}).items():
        if mask.keys() == {"kind"}:
            values["masks"][name] = mask["kind"]
    return values


def _require_same(before: Document, after: Document, put: Sequence[Grant], drop: Collection[str]) -> None:
    """Raise EditError unless the edited file, parsed again, has exactly the intended changes and no others."""
    wanted = {grant.id: grant for grant in put}
    kept = [value for value in before.value.get("grants") or [] if value.get("id") not in drop]
    new = [grant for grant in put if all(value.get("id") != grant.id for value in kept)]
    found = (after.value.get("grants") or []) if isinstance(after.value, dict) and not after.problems else []
    others = {**before.value, "grants": None} == {**(after.value or {}), "grants": None} if found else False
    if not others or len(found) != len(kept) + len(new):
        raise EditError("a grant cannot be written into this file without changing more", remedy=_BY_HAND)
    for old, value in zip([*kept, *new], found, strict=True):
        grant = old if isinstance(old, Grant) else wanted.get(old.get("id"))
        if (Grant.model_validate(value) != grant) if grant else (repr(value) != repr(old)):
            raise EditError("a grant cannot be written into this file as it is", remedy=_BY_HAND)


def _differences(node: Node, key: str, before: Any, after: Any) -> Iterator[_Splice]:
    """The smallest values to rewrite: if two mappings have the same keys, only the entries that differ."""
    if before == after:
        return
    places = {k.value: place for k, place in node.value} if isinstance(node, MappingNode) else {}
    if isinstance(before, dict) and isinstance(after, dict) and before.keys() == after.keys() == places.keys():
        for inner, place in places.items():
            yield from _differences(place, inner, before[inner], after[inner])
    else:
        line_break = "\n" if getattr(node, "style", None) in ("|", ">") else ""
        yield _Splice(node.start_mark.index, _end(node), _flow(key, after) + line_break)


def _end(node: Node) -> int:
    """The index just after the node's last character; a block's own end mark is where the next node begins."""
    if isinstance(node, MappingNode | SequenceNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return max(map(_end, last)) if isinstance(last, tuple) else _end(last)
    return int(node.end_mark.index)


def _flow(key: str, value: Any) -> str:
    """The value on one line, in a form that is valid within brackets too."""
    return _dump({"in": {key: value}}, block=()).removeprefix(f"in: {{{key}: ").removesuffix("}\n")


def _dump(values: Mapping[str, Any], block: Collection[str] = ("purpose",)) -> str:
    """The mapping as YAML: one line per key; a mapping under a key in `block` has one line for each of its own keys."""
    yaml = YAML()
    yaml.width = _WIDTH
    yaml.brace_single_entry_mapping_in_flow_sequence = True
    out = StringIO()
    mapping = CommentedMap()
    for key, value in values.items():
        mapping[key] = CommentedMap((k, _plain(v)) for k, v in value.items()) if key in block else _plain(value)
    yaml.dump(mapping, out)
    return out.getvalue()


def _plain(value: Any) -> Any:
    """The value in ruamel's types: lists and mappings in brackets; text that could break a line in double quotes."""
    if isinstance(value, str):
        # ruamel writes a leading `?` without quotes, but within brackets it reads that as a key.
        is_plain = value.isprintable() and not value.startswith("?")
        return value if is_plain else DoubleQuotedScalarString(value)
    if isinstance(value, Mapping):
        mapping = CommentedMap((_plain(k), _plain(v)) for k, v in value.items())
        mapping.fa.set_flow_style()
        return mapping
    if isinstance(value, list | tuple):
        sequence = CommentedSeq(map(_plain, value))
        sequence.fa.set_flow_style()
        return sequence
    return value
