"""A command's standard output and standard error, which may be full, closed, or of another encoding."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any

from exchange.errors import TransientError

READER_GONE = 141  # exit status of a program that SIGPIPE ends; click's 1 would mean "something differs" in audits


class OutputError(TransientError):
    """Standard output accepts nothing: whoever reads it would take what was written for everything."""

    code = "output"
    remedy = "make room, or name another place; then run the command again"


def prepare() -> None:
    """Prepare the process's streams so that no command ends in a traceback because of them.

    If standard output cannot be written, OutputError says so. A reader that went away (`| head`) ends the command
    quietly, with READER_GONE. Standard error may fail: a command is not stopped for its words. Characters that the
    encoding lacks are written as escapes.
    """
    for number, mode in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        _occupy(number, mode)
    if sys.stdout is sys.__stdout__:
        sys.stdout = _text(_Output(1, "w", closefd=False), sys.stdout)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _text(_Error(2, "w", closefd=False), sys.stderr)


def _occupy(number: int, mode: int) -> None:
    """If the stream is closed, occupy its number, so that no file of ours gets it and others write into that file."""
    try:
        os.fstat(number)
    except OSError:
        os.open(os.devnull, mode)  # gets the lowest free number; a stream for reading cannot be written


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
