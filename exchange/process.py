"""A daemon's process, found by a lock that ends with it, never by a process id alone."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, NamedTuple


class Running(NamedTuple):
    """The process that holds the lock; `pid` is 0 in the moment before the process is started."""

    pid: int
    port: int


class ProcessFile:
    """A pid file that the process itself holds locked.

    The child inherits the locked file, so the lock lives exactly as long as the child. After SIGKILL, a crash or a
    reboot the file is just a file, and a recycled process id cannot be mistaken for ours.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def running(self) -> Running | None:
        """The process that holds the lock, or None."""
        try:
            with self._path.open("r+") as file:
                if _lock(file, fcntl.LOCK_SH):
                    return None
                words = file.read().split()
        except FileNotFoundError:
            return None
        return Running(int(words[0]), int(words[1])) if len(words) == 2 else Running(0, 0)

    def spawn(
        self, command: Sequence[str], port: int, log: Path, cwd: Path | None = None
    ) -> subprocess.Popen[bytes] | None:
        """Start `command` in a session of its own, holding the lock; return None if someone holds it already.

        It runs in the log's folder unless `cwd` names another.
        """
        with self._path.open("a+") as file, log.open("ab") as output:
            if not _lock(file, fcntl.LOCK_EX):
                return None
            file.truncate(0)
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(file.fileno(),),
                cwd=cwd or log.parent,
            )
            file.write(f"{process.pid}\n{port}\n")
            return process

    def end(self, patience_s: float) -> bool:
        """End the process that holds the lock: ask first, kill after `patience_s`. False if nobody held the lock."""
        kill_at = time.monotonic() + patience_s
        asked = held = False
        while (running := self.running()) is not None:
            held = True
            if running.pid and (not asked or time.monotonic() > kill_at):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(running.pid, signal.SIGKILL if asked else signal.SIGTERM)
                asked = True
            time.sleep(0.05)
        return held


def _lock(file: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
