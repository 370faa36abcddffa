"""Folders and files that nobody but their owner can open, whatever the process's umask is."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


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
