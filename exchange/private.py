"""Folders and files that only their owner can open, whatever the umask is; files are written atomically."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from secrets import token_hex


def folder(path: Path) -> Path:
    """Create the folder (mode 0700) and missing folders around it; existing ones stay as they are."""
    for each in (*reversed(path.parents), path):
        each.mkdir(mode=0o700, exist_ok=True)
    return path


def file(path: Path) -> Path:
    """Create the file, empty, and its folder if they are missing; make an existing file accessible to its owner only.

    For SQLite, which gives the files next to a database the database's own mode.
    """
    folder(path.parent)
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        with suppress(PermissionError):  # it belongs to another user, who decides about it
            # The file is not opened, because closing it would release the locks that this process has on a database.
            path.chmod(path.stat().st_mode & 0o700)
    return path


def write(path: Path, data: bytes, mode: int = 0o600, put: Callable[[Path, Path], None] = os.replace) -> None:
    """Write the file atomically; it is on disk when this returns. A symbolic link stays a link.

    A mode wider than the owner's is narrowed by the umask. `put` moves the fresh file, which is in the same folder, to
    its path; if it leaves the fresh file there, that is removed.
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
    sync(path.parent)


def sync(path: Path) -> None:
    """Have the system write a file, or the names in a folder, to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
