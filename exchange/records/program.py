"""An Avro schema compiled to a flat array of opcodes, which kernels run over bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from exchange.errors import ConfigError
from exchange.schema.avro import Schema

MAX_CODE = 1 << 16  # words: a named type is written out at each use
MAX_LOOPS = 16

# An opcode is followed by its operands; positions count words from the start of the code.
END = 0
MARK = 1  # the next top-level field starts here
BOOLEAN = 2
LONG = 3
RANGE = 4  # row of RANGES: an integer within bounds
SKIP = 5  # bytes
BYTES = 6
STRING = 7
ENUM = 8  # symbols
UNION = 9  # branches, position of each
JUMP = 10  # position
ENTER = 11  # an array or a map begins
LOOP = 12  # position after it, bytes of the smallest item: the next item, or out
NOTHING = 13  # an array or map's block counts where items take no bytes

# What datetime holds, years 1 to 9999: outside of it a reader's decoder raises.
_DAY_MS = 86_400_000
_FIRST_DAY, _LAST_DAY = -719_162, 2_932_896
_RANGES = {
    "int": (-(1 << 31), (1 << 31) - 1),
    "date": (_FIRST_DAY, _LAST_DAY),
    "timestamp-millis": (_FIRST_DAY * _DAY_MS, (_LAST_DAY + 1) * _DAY_MS - 1),
    "timestamp-micros": (_FIRST_DAY * _DAY_MS * 1000, (_LAST_DAY + 1) * _DAY_MS * 1000 - 1),
    "time-millis": (0, _DAY_MS - 1),
    "time-micros": (0, _DAY_MS * 1000 - 1),
}
RANGES = np.array(list(_RANGES.values()), np.int64)
_ROWS = {name: row for row, name in enumerate(_RANGES)}
_LOGICAL = {
    ("int", "date"): "date",
    ("int", "time-millis"): "time-millis",
    ("long", "time-micros"): "time-micros",
    ("long", "timestamp-millis"): "timestamp-millis",
    ("long", "timestamp-micros"): "timestamp-micros",
    ("long", "local-timestamp-millis"): "timestamp-millis",
    ("long", "local-timestamp-micros"): "timestamp-micros",
}
_SMALLEST = {"null": 0, "boolean": 1, "int": 1, "long": 1, "float": 4, "double": 8, "bytes": 1, "string": 1, "enum": 1}


class ProgramError(ConfigError):
    """A schema is too large for the kernels."""

    code = "schema-too-large"
    remedy = "nest named types less often"


@dataclass(frozen=True, eq=False)
class Program:
    """`code` is int32[]; `fields` names the top-level fields in the order of the bytes."""

    code: np.ndarray
    fields: tuple[str, ...]


def compile_program(schema: Schema) -> Program:
    """The program of a record schema; ProgramError where its named types write out to more than 65,536 words.

    Every opcode but the jumps takes at least one byte of a record, so that a record's length
    bounds the work on it; types without bytes (null, empty records) leave no code.
    """
    compiler = _Compiler(schema.names)
    fields = schema.definition["fields"]
    for field in fields:
        compiler.emit(MARK)
        compiler.type(field["type"])
    compiler.emit(END)
    return Program(np.array(compiler.code, np.int32), tuple(field["name"] for field in fields))


class _Compiler:
    def __init__(self, names: Mapping[str, dict[str, Any]]) -> None:
        self.names = names
        self.code: list[int] = []
        self.sizes: dict[str, int] = {}

    def emit(self, *words: int) -> int:
        """Append words; return the position after them."""
        self.code += words
        if len(self.code) > MAX_CODE:
            raise ProgramError("the schema's types write out to too much")
        return len(self.code)

    def type(self, node: Any) -> None:
        """Write the code of one type."""
        if self.smallest(node) == 0:
            return
        if isinstance(node, list):
            self._union(node)
            return
        if isinstance(node, str):
            node = self.names.get(node, {"type": node})
        kind = node["type"]
        row = _ROWS.get(_LOGICAL.get((kind, node.get("logicalType")), kind))
        if kind == "record":
            for field in node["fields"]:
                self.type(field["type"])
        elif kind == "array":
            self._loop(node["items"], ())
        elif kind == "map":
            self._loop(node["values"], (STRING,))
        elif row is not None:
            self.emit(RANGE, row)
        elif kind == "enum":
            self.emit(ENUM, len(node["symbols"]))
        elif kind in ("float", "double", "fixed"):
            self.emit(SKIP, self.smallest(node))
        else:
            self.emit({"boolean": BOOLEAN, "long": LONG, "bytes": BYTES, "string": STRING}[kind])

    def _union(self, branches: list[Any]) -> None:
        table = self.emit(UNION, len(branches))
        self.emit(*[0] * len(branches))
        jumps = []
        for i, branch in enumerate(branches):
            self.code[table + i] = len(self.code)
            self.type(branch)
            jumps.append(self.emit(JUMP, 0) - 1)
        for jump in jumps:
            self.code[jump] = len(self.code)

    def _loop(self, item: Any, prefix: tuple[int, ...]) -> None:
        smallest = self.smallest(item) + len(prefix)
        if smallest == 0:
            self.emit(NOTHING)
            return
        start = self.emit(ENTER)
        body = self.emit(LOOP, 0, smallest)
        self.emit(*prefix)
        self.type(item)
        self.code[body - 2] = self.emit(JUMP, start)

    def smallest(self, node: Any) -> int:
        """The fewest bytes that a value of the type takes; 0 only where none takes any."""
        if isinstance(node, list):
            return 1 + min((self.smallest(branch) for branch in node), default=0)
        if isinstance(node, str):
            if node in self.names and node not in self.sizes:
                self.sizes[node] = self.smallest(self.names[node])
            return self.sizes.get(node, _SMALLEST.get(node, 0))
        kind = node["type"]
        if kind == "record":
            return min(sum(self.smallest(field["type"]) for field in node["fields"]), 1 << 20)
        if kind == "fixed":
            return int(node["size"])
        return 1 if kind in ("array", "map") else _SMALLEST[kind]
