"""Gives back memory of the kernels' compiler, which has little to do once they are there."""

from __future__ import annotations

import ctypes
import mmap
from contextlib import suppress
from functools import cache
from pathlib import Path

_MAPS = Path("/proc/self/maps")


@cache
def give_back() -> None:
    """Let go of the pages of LLVM's code, some 50 MB, once in a process (Linux).

    They are those of a file that nobody has changed: the system maps again what is needed again. Kernels that are
    loaded later need a third of them.
    """
    with suppress(OSError):
        for line in _MAPS.read_text().splitlines():
            span, rights, *_, file = line.split()
            if rights == "r-xp" and "llvmlite" in file:
                start, end = (int(place, 16) for place in span.split("-"))
                ctypes.CDLL(None).madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), mmap.MADV_DONTNEED)
