"""Bytes moved and words read at any address, which numba's array indexing cannot say."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import Signature
from numba.extending import intrinsic


def _address(context: Any, builder: Any, array_type: Any, array: Any, offset: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(builder.bitcast(data, ir.IntType(8).as_pointer()), [offset])


def _copy(typingctx: Any, target: Any, at: Any, source: Any, start: Any, length: Any) -> tuple[Signature, Any]:
    """`copy(target, at, source, start, length)`: memcpy between byte arrays, unchecked."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        to = _address(context, builder, signature.args[0], args[0], args[1])
        of = _address(context, builder, signature.args[2], args[2], args[3])
        cgutils.raw_memcpy(builder, to, of, args[4], 1)
        return context.get_dummy_value()

    return types.void(target, types.int64, source, types.int64, types.int64), emit


def _load64(typingctx: Any, source: Any, start: Any) -> tuple[Signature, Any]:
    """`load64(source, start)`: the uint64 (little-endian) in the 8 bytes from `start`, unchecked."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        at = _address(context, builder, signature.args[0], args[0], args[1])
        return builder.load(builder.bitcast(at, ir.IntType(64).as_pointer()), align=1)

    return types.uint64(source, types.int64), emit


def _load(typingctx: Any, source: Any, index: Any) -> tuple[Signature, Any]:
    """`load(source, index)`: the element there, unchecked: a negative index does not count from the end."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.load(builder.gep(data, [args[1]]))

    return source.dtype(source, types.int64), emit


copy: Any = intrinsic(_copy)
load64: Any = intrinsic(_load64)
load: Any = intrinsic(_load)
