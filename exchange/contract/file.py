"""Reads the contract file and replaces it atomically: no edit is lost, and nobody sees half a file."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from exchange import private
from exchange.errors import ConfigError, TransientError


class ContractChangedError(TransientError):
    """The contract file was changed while it was edited."""

    code = "contract-changed"
    remedy = "run it again"


class ContractUnwritableError(ConfigError):
    """The contract file cannot be written."""

    code = "contract-unwritable"
    remedy = "let the user that runs this write the file"


def read_file(path: Path) -> bytes:
    """The content of the contract file; raises ConfigError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        remedy = "run from the project's folder, or set EXCHANGE_CONTRACT"
        raise ConfigError(f"{path} cannot be read: {error.strerror}", remedy=remedy) from error


def edit(path: Path, change: Callable[[bytes], bytes]) -> bool:
    """Replace the file's content by `change(content)`; return whether it changed.

    Commands take turns. Raises ContractChangedError, having written nothing, if someone saved the file in the
    meantime, and ContractUnwritableError if it cannot be written. The file keeps its mode; a symbolic link
    stays a link.
    """
    path = path.resolve()
    with _turn(path.parent):
        before = read_file(path)
        after = change(before)
        if after == before:
            return False

        def put(fresh: Path, path: Path) -> None:
            os.chmod(fresh, path.stat().st_mode & 0o7777)
            if read_file(path) != before:
                remedy = "run this again: it begins with what is there now"
                raise ContractChangedError(f"{path} was changed meanwhile; nothing was written", remedy=remedy)
            os.replace(fresh, path)

        try:
            private.write(path, after, put=put)
        except OSError as error:
            remedy = "see who may write there"
            raise ContractUnwritableError(f"{path} cannot be written: {error.strerror}", remedy=remedy) from error
    return True


@contextmanager
def _turn(folder: Path) -> Iterator[None]:
    """Lock the folder, not the file: each edit replaces the file by a new one."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
