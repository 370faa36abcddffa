"""Folders and files that nobody but their owner can open, whatever the process's umask is; files written as a whole."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from secrets import token_hex


def folder(path: Path) -> Path:
    """Make the folder (mode 0700), and those around it that are missing; one that is there stays as it is."""
    for each in (*reversed(path.parents), path):
        each.mkdir(mode=0o700, exist_ok=True)
    return path


def file(path: Path) -> Path:
    """Make the file, empty, and its folder where they are missing; shut others out of a file that is there (0600).

    For SQLite, which gives the files beside a database the database's own mode.
    """
    folder(path.parent)
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        with suppress(PermissionError):  # another user's, who decides about it
            # Not opened: closing it would let go of the locks that this process has on a database.
            path.chmod(path.stat().st_mode & 0o700)
    return path


def write(path: Path, data: bytes, mode: int = 0o600, put: Callable[[Path, Path], None] = os.replace) -> None:
    """Write the file whole or not at all; it is on disk when this returns. A link stays one.

    A mode other than the owner's is narrowed by the umask. `put` brings the fresh file, which is beside it, to its
    path; what it leaves there is removed.
    """
    path = path.resolve()
    fresh = path.with_name(f".{path.name}.{token_hex(4)}")
    try:
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        put(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
