"""A YAML file as plain values, with the line of each, and every mistake of its form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.scanner import Scanner
from ruamel.yaml.tokens import DirectiveToken

from exchange.document.problem import Path, Problem, dotted
from exchange.printable import is_hidden, printable

MAX_BYTES = 4 * 1024 * 1024
MAX_DEPTH = 32
MAX_NUMBER = (1 << 63) - 1
"""What Kafka, Avro and databases have room for; one that is longer can also not be written out."""
PLAIN = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null", "timestamp"))


@dataclass
class Document:
    """The values of a file; `lines` gives the line (from 1) of every path in it, `root` the places in its text."""

    value: Any = None
    root: Node | None = None
    lines: dict[Path, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def line(self, path: Path) -> int:
        """The line of that path, or of the nearest place around it that was written."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def at(self, path: Path) -> Any:
        """The value at that path; KeyError, IndexError or TypeError where there is none."""
        value = self.value
        for part in path:
            value = value[part]
        return value


def read(data: bytes) -> Document:
    """The document in those bytes; what is wrong with its form is in `problems`, never raised.

    Only plain YAML is taken: no anchors, aliases, merge keys or tags, so that every grant can be
    read by itself and a small file cannot grow; no key twice; no number beyond 64 bits; no
    character that a reader would not see, except for line ends and tabs in a value; and no directive
    but `%YAML 1.2`: under 1.1, `no` is false and `010` is 8.
    """
    document = Document()
    if len(data) > MAX_BYTES:
        _fault(document, 1, f"the file is larger than {MAX_BYTES >> 20} MiB", "shorten it, or split the exchange")
        return document
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        _fault(document, line, "the file is not UTF-8", "save it as UTF-8")
        return document
    yaml = YAML(typ="safe", pure=True)
    yaml.Scanner = partial(_PlainScanner, document)
    yaml.Composer = _PlainComposer
    yaml.composer.document = document
    try:
        node = yaml.compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(str(part) for part in (error.context, error.problem) if part)
        _fault(
            document, mark.line + 1 if mark else 1, f"is not YAML: {what}", "correct the indentation, quotes or colon"
        )
        return document
    except YAMLError as error:
        _fault(document, 1, f"is not YAML: {str(error).splitlines()[0]}", "remove what is not text")
        return document
    if node is not None:
        document.root = node
        document.value = _value(node, (), document, yaml)
    if document.value is None and not document.problems:
        _fault(document, 1, "the file is empty", "start with `version: 1`")
    return document


def _fault(document: Document, line: int, message: str, remedy: str, path: Path = ()) -> None:
    document.problems.append(Problem(line, dotted(path), printable(message, ""), remedy))


class _PlainScanner(Scanner):
    """Passes over directives, as if they were not there: each but `%YAML 1.2` is noted as a problem."""

    def __init__(self, document: Document, loader: YAML) -> None:
        super().__init__(loader)
        self._document = document

    def scan_directive(self) -> DirectiveToken:
        token = super().scan_directive()
        if (token.name, token.value) != ("YAML", (1, 2)):
            remedy = "remove it: the file is read as YAML 1.2"
            _fault(self._document, token.start_mark.line + 1, f"directive %{token.name} is not allowed here", remedy)
        self.yaml_version = None
        return DirectiveToken("", None, token.start_mark, token.end_mark)


class _PlainComposer(Composer):
    """Composes nodes without aliases and tags: each is noted as a problem and left out."""

    document: Document
    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Node:
        event = self.parser.peek_event()
        line = event.start_mark.line + 1
        if isinstance(event, AliasEvent):
            self.parser.get_event()
            _fault(self.document, line, f"alias *{event.anchor} is not allowed here", "write it out")
            return ScalarNode("tag:yaml.org,2002:null", "", event.start_mark, event.end_mark)
        if self.depth >= MAX_DEPTH:
            raise MarkedYAMLError(problem=f"nested deeper than {MAX_DEPTH}", problem_mark=event.start_mark)
        tag = getattr(event, "tag", None)
        if tag is not None and tag != "!":
            _fault(self.document, line, f"tag {tag} is not allowed here", "remove it")
        self.depth += 1
        try:
            node: Node = super().compose_node(parent, index)
            return node
        finally:
            self.depth -= 1


def _value(node: Node, path: Path, document: Document, yaml: YAML) -> Any:
    document.lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, SequenceNode):
        return [_value(child, (*path, i), document, yaml) for i, child in enumerate(node.value)]
    if isinstance(node, MappingNode):
        return _mapping(node, path, document, yaml)
    text = str(node.value)
    if _has_hidden(document, text, node.start_mark.line + 1, path, allowed="\n\t"):
        return printable(text)
    if str(node.tag) not in PLAIN:
        return text
    try:
        value = yaml.constructor.construct_object(node)
    except (ValueError, YAMLError):
        # A day that does not exist, such as 2025-02-30: the model says so in its own words.
        return text
    if isinstance(value, int) and abs(value) > MAX_NUMBER:
        _fault(document, node.start_mark.line + 1, "the number is beyond 64 bits", "give a smaller one", path)
        return MAX_NUMBER
    return value


def _has_hidden(document: Document, text: str, line: int, path: Path, allowed: str = "") -> bool:
    """Whether the text has a character that nobody would see, which is noted."""
    if text.isprintable():
        return False
    found = next((c for c in text if is_hidden(c) and c not in allowed), None)
    if found is not None:
        _fault(document, line, f"has a character that cannot be seen: {found}", "leave it out", path)
    return found is not None


def _mapping(node: MappingNode, path: Path, document: Document, yaml: YAML) -> Mapping[str, Any]:
    mapping: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, ScalarNode):
            _fault(document, line, "a key is not plain text", "use a word as the key", path)
            continue
        key = str(key_node.value)
        if _has_hidden(document, key, line, path):
            continue
        if key in mapping:
            _fault(document, line, f"key '{key}' is given twice", "remove one of them", (*path, key))
            continue
        document.lines[(*path, key)] = line
        mapping[key] = _value(value_node, (*path, key), document, yaml)
    return mapping
