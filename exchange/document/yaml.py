"""Reads a YAML file into plain values with the line of each; collects every mistake of form."""

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
"""The largest number that Kafka, Avro and databases can hold. Python also refuses to print much longer ones."""
PLAIN = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null", "timestamp"))


@dataclass
class Document:
    """The values of a file; `lines` gives the line (from 1) of each path, `root` is the parsed tree with positions."""

    value: Any = None
    root: Node | None = None
    lines: dict[Path, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def line(self, path: Path) -> int:
        """The line of that path; if it was not written, the line of the nearest path around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def at(self, path: Path) -> Any:
        """The value at that path; raises KeyError, IndexError or TypeError if there is none."""
        value = self.value
        for part in path:
            value = value[part]
        return value


def read(data: bytes) -> Document:
    """Read the document in these bytes. Never raises: mistakes of form are listed in its `problems`.

    Only plain YAML is accepted. Anchors, aliases, merge keys and tags are refused, so that every grant can
    be read by itself and a small file cannot grow when read. So are a key given twice, a number beyond 64
    bits, and a character that a person would not see (line ends and tabs within a value are allowed). The
    only directive allowed is `%YAML 1.2`: under YAML 1.1, `no` means false and `010` means 8.
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
        _fault(document, 1, "the file is empty", "write `key: value` pairs")
    return document


def _fault(document: Document, line: int, message: str, remedy: str, path: Path = ()) -> None:
    document.problems.append(Problem(line, dotted(path), printable(message, ""), remedy))


class _PlainScanner(Scanner):
    """A scanner that ignores directives; each one but `%YAML 1.2` is noted as a problem."""

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
    """A composer that leaves out aliases and tags; each is noted as a problem."""

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
        # A day that does not exist, such as 2025-02-30: the model reports it in its own words.
        return text
    if isinstance(value, int) and abs(value) > MAX_NUMBER:
        _fault(document, node.start_mark.line + 1, "the number is beyond 64 bits", "give a smaller one", path)
        return MAX_NUMBER
    return value


def _has_hidden(document: Document, text: str, line: int, path: Path, allowed: str = "") -> bool:
    """Whether the text has an invisible character; if so, it is noted as a problem."""
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
