"""Compiles an Avro schema to a flat array of opcodes, which kernels run over bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from exchange.errors import ConfigError
from exchange.schema.avro import Schema
from exchange.schema.types import Logical, Primitive, Type

MAX_CODE = 1 << 16  # words; a named type is written out each time it is used
MAX_LOOPS = 16

# Operands follow their opcode; positions count words from the start of the code.
END = 0
MARK = 1  # the next top-level field starts here
BOOLEAN = 2
LONG = 3
RANGE = 4  # row of RANGES: an integer within these bounds
SKIP = 5  # bytes
BYTES = 6
STRING = 7
ENUM = 8  # symbols
UNION = 9  # branches, position of each
JUMP = 10  # position
ENTER = 11  # an array or a map begins
LOOP = 12  # position after the loop, bytes of the smallest item: go to the next item, or leave the loop
NOTHING = 13  # the block counts of an array or map whose items take no bytes

# The range of Python's datetime, years 1 to 9999: outside it, a reader's decoder raises an error.
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
_SMALLEST = {"null": 0, "float": 4, "double": 8}  # the fewest bytes of a value; 1 for other types


class ProgramError(ConfigError):
    """A schema is too large for the kernels."""

    code = "schema-too-large"
    remedy = "nest named types less often"


@dataclass(frozen=True, eq=False)
class Program:
    """A compiled schema: `code` is int32[]; `fields` names the top-level fields in the order of their bytes."""

    code: np.ndarray
    fields: tuple[str, ...]


def compile_program(schema: Schema) -> Program:
    """The program of a record schema; raises ProgramError if it takes more than 65,536 words.

    Every opcode but the jumps consumes at least one byte of a record, so the work on a record is bounded by its
    length. Types without bytes (null, empty records) produce no code.
    """
    compiler = _Compiler()
    for field in schema.type.fields:
        compiler.emit(MARK)
        compiler.type(field.type)
    compiler.emit(END)
    return Program(np.array(compiler.code, np.int32), tuple(schema.fields))


class _Compiler:
    def __init__(self) -> None:
        self.code: list[int] = []
        self.sizes: dict[str, int] = {}

    def emit(self, *words: int) -> int:
        """Append words; return the position after them."""
        self.code += words
        if len(self.code) > MAX_CODE:
            raise ProgramError("the schema's types write out to too much")
        return len(self.code)

    def type(self, of: Type) -> None:
        """Emit the code of one type."""
        if self.smallest(of) == 0:
            return
        match of.means:
            case "union":
                self._union(of.parts)
            case "record":
                for field in of.fields:
                    self.type(field.type)
            case "array":
                self._loop(of.parts[0], ())
            case "map":
                self._loop(of.parts[0], (STRING,))
            case "enum":
                self.emit(ENUM, len(of.symbols))
            case "fixed":
                self.emit(SKIP, of.size)
            case "decimal":
                self.emit(*((SKIP, of.size) if of.size else (BYTES,)))
            case scalar:
                self.emit(*_code(scalar))

    def _union(self, branches: Sequence[Type]) -> None:
        table = self.emit(UNION, len(branches))
        self.emit(*[0] * len(branches))
        jumps = []
        for i, branch in enumerate(branches):
            self.code[table + i] = len(self.code)
            self.type(branch)
            jumps.append(self.emit(JUMP, 0) - 1)
        for jump in jumps:
            self.code[jump] = len(self.code)

    def _loop(self, item: Type, prefix: tuple[int, ...]) -> None:
        smallest = self.smallest(item) + len(prefix)
        if smallest == 0:
            self.emit(NOTHING)
            return
        start = self.emit(ENTER)
        body = self.emit(LOOP, 0, smallest)
        self.emit(*prefix)
        self.type(item)
        self.code[body - 2] = self.emit(JUMP, start)

    def smallest(self, of: Type) -> int:
        """The fewest bytes that a value of the type takes; 0 only if every value takes none."""
        if of.kind == "union":
            return 1 + min(self.smallest(branch) for branch in of.parts)
        if of.kind == "record":
            if of.name not in self.sizes:
                self.sizes[of.name] = min(sum(self.smallest(field.type) for field in of.fields), 1 << 20)
            return self.sizes[of.name]
        return of.size or _SMALLEST.get(of.kind, 1)


def _code(scalar: Primitive | Logical) -> Sequence[int]:
    match scalar:
        case "null":
            return ()
        case "boolean":
            return (BOOLEAN,)
        case "long":
            return (LONG,)
        case "float":
            return SKIP, 4
        case "double":
            return SKIP, 8
        case "bytes":
            return (BYTES,)
        case "string" | "uuid":
            return (STRING,)
        case "int" | "date" | "time-millis" | "time-micros" | "timestamp-millis" | "timestamp-micros":
            return RANGE, _ROWS[scalar]
        case "local-timestamp-millis" | "local-timestamp-micros":
            return RANGE, _ROWS[scalar.removeprefix("local-")]
