"""Access to bytes at addresses, which numba's arrays allow only with a reference count at every call, or not at all.

An address is an int64 and valid as long as its array exists. Nothing is bounds-checked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.core.typing.templates import Signature
from numba.extending import intrinsic


def _pointer(builder: Any, address: Any, kind: ir.Type) -> Any:
    return builder.inttoptr(address, kind.as_pointer())


def _address(typingctx: Any, array: Any) -> tuple[Signature, Callable[..., Any]]:
    """`address(array)`: the address of the first byte of a contiguous array."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.ptrtoint(data, ir.IntType(64))

    return types.int64(array), emit


def _byte(typingctx: Any, at: Any) -> tuple[Signature, Callable[..., Any]]:
    """`byte(at)`: the byte at an address, as uint64."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = builder.load(_pointer(builder, args[0], ir.IntType(8)))
        return builder.zext(value, ir.IntType(64))

    return types.uint64(types.int64), emit


def _word(typingctx: Any, at: Any) -> tuple[Signature, Callable[..., Any]]:
    """`word(at)`: the 8 bytes from an address as uint64 (little-endian)."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(_pointer(builder, args[0], ir.IntType(64)), align=1)

    return types.uint64(types.int64), emit


def _put(typingctx: Any, at: Any, value: Any) -> tuple[Signature, Callable[..., Any]]:
    """`put(at, value)`: write the lowest byte of an integer to an address."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        part = args[1] if signature.args[1].bitwidth == 8 else builder.trunc(args[1], ir.IntType(8))
        builder.store(part, _pointer(builder, args[0], ir.IntType(8)))
        return context.get_dummy_value()

    return types.void(types.int64, value), emit


def _real(typingctx: Any, at: Any) -> tuple[Signature, Callable[..., Any]]:
    """`real(at)`: the float64 nearest to the decimal number at an address, as C's strtod reads it.

    Behind the number there must be a byte that cannot be a part of it.
    """

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        byte = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.DoubleType(), [byte, byte.as_pointer()])
        strtod = cgutils.get_or_insert_function(builder.module, kind, "strtod")
        nowhere = ir.Constant(byte.as_pointer(), None)
        return builder.call(strtod, [_pointer(builder, args[0], ir.IntType(8)), nowhere])

    return types.float64(types.int64), emit


def _move(typingctx: Any, to: Any, at: Any, length: Any) -> tuple[Signature, Callable[..., Any]]:
    """`move(to, at, length)`: memcpy between addresses."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        target, source = (_pointer(builder, arg, ir.IntType(8)) for arg in args[:2])
        cgutils.raw_memcpy(builder, target, source, args[2], 1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), emit


address: Any = intrinsic(_address)
byte: Any = intrinsic(_byte)
word: Any = intrinsic(_word)
move: Any = intrinsic(_move)
put: Any = intrinsic(_put)
real: Any = intrinsic(_real)


@njit(nogil=True, forceinline=True)
def copy(target, at, source, start, length):
    """Copy bytes from one array into another."""
    move(address(target) + at, address(source) + start, length)


@njit(nogil=True, forceinline=True)
def equal(one, other, length):
    """Whether the bytes at both addresses are the same."""
    whole, same = length - length % 8, True
    for i in range(0, whole, 8):
        same = same and word(one + i) == word(other + i)
    for i in range(whole, length):
        same = same and byte(one + i) == byte(other + i)
    return same
