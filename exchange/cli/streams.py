"""Standard output and standard error of a command, which may be full, closed, or of another alphabet."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any

from exchange.errors import TransientError

READER_GONE = 141  # exit status of a program that SIGPIPE ends; click's 1 would say "something differs" in audits


class OutputError(TransientError):
    """Standard output takes nothing: who asked would take what was written for all there is."""

    code = "output"
    remedy = "make room, or name another place; then run the command again"


def prepare() -> None:
    """Make the process's streams such that no command ends in a traceback because of them.

    Where standard output cannot be written, OutputError says so; a reader that went away (`| head`) ends the command
    quietly, with READER_GONE. Standard error may fail: what a command does is not stopped for its words. What the
    encoding does not have is written as an escape.
    """
    for number, mode in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        _occupy(number, mode)
    if sys.stdout is sys.__stdout__:
        sys.stdout = _text(_Output(1, "w", closefd=False), sys.stdout)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _text(_Error(2, "w", closefd=False), sys.stderr)


def _occupy(number: int, mode: int) -> None:
    """Where the stream is closed, keep its number from being a file's of ours: others would write into that."""
    try:
        os.fstat(number)
    except OSError:
        os.open(os.devnull, mode)  # takes the lowest number that is free; one to read cannot be written


def _text(raw: io.RawIOBase, like: Any) -> io.TextIOWrapper:
    encoding = like.encoding if like is not None else "utf-8"
    by_line = raw.isatty() or raw.fileno() == 2
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, errors="backslashreplace", line_buffering=by_line)


class _Output(io.FileIO):
    _has_failed = False

    def write(self, data: Any, /) -> int:
        if self._has_failed:
            return len(data)  # the interpreter tries again when it ends
        try:
            return super().write(data)
        except OSError as error:
            self._has_failed = True
            if error.errno == errno.EPIPE:
                raise SystemExit(READER_GONE) from None
            message = f"standard output cannot be written: {error.strerror}"
            raise OutputError(message) from error


class _Error(io.FileIO):
    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(data)
