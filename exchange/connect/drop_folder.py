"""The folder into which files are dropped: which ones are complete, which were taken, what became of each."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import signal
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from itertools import count
from pathlib import Path
from typing import BinaryIO

from exchange.connect.config import Drop, SourceConfig
from exchange.connect.database import Paths
from exchange.errors import ConfigError

NAME_BYTES = 200  # leaves room for the stamp within the 255 bytes of file systems
UNENDED = 10  # a file that does not look whole waits so many times longer: a value may be cut in two at its end
RESETTLE_S = 10.0  # after a restart, how long a file that was taken before must be unchanged, at most
LOOK_AFTER_S = 600.0  # how long a published file is watched, in case someone still writes to it
MARKER = ".done"
PLACES = ("taken", "done", "refused")
State = tuple[int, int]  # size in bytes, time of the last change in ns
_STAMPED = re.compile(r"\d{8}T\d{12}-\d{3,}-(.+)", re.DOTALL)
_log = logging.getLogger("exchange.connect")


class DropFolderError(ConfigError):
    """The drop folder cannot be used."""

    code = "drop-folder"
    remedy = "give the connector's user a folder that it may read, write and rename in"


class UnusableFileError(Exception):
    """The file as a whole yields no rows; it is refused with this reason."""


def path_of(config: SourceConfig, paths: Paths) -> Path:
    """The source's drop folder; what is fetched from a remote folder has one of its own at home."""
    assert config.drop is not None
    return paths.home / "fetched" / config.subject if config.drop.remote else paths.path(config.drop.folder)


class DropFolder:
    """Takes files that match a pattern, when they are complete, by renaming them into `taken/`; ignores others.

    A file is complete if `<name>.done` is next to it. It is also complete if its size and time have not changed for
    `settle_s`, no program has it open for writing (as far as the system can tell), and it `looks_whole`.
    After a restart, a file in `taken/` must be complete in the same way before it is read.
    """

    def __init__(
        self,
        folder: Path,
        drop: Drop,
        looks_whole: Callable[[BinaryIO], bool],
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._folder = folder
        self._drop = drop
        self._looks_whole = looks_whole
        self._clock = clock
        self._monotonic = monotonic
        self._watched: dict[Path, tuple[State, float]] = {}
        self._states: dict[Path, State] = {}
        self._published: dict[Path, tuple[State, float]] = {}
        self._said: set[Path] = set()

    def make(self) -> None:
        """Create the folders if they are missing; raises DropFolderError if they cannot be used."""
        for path in (self._folder / name for name in PLACES):
            try:
                path.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise DropFolderError(
                    f"{path}: {error.strerror}", remedy="create it for the connector's user"
                ) from error
            if path.is_symlink():
                raise DropFolderError(f"{path} is a link", remedy="make it a folder of its own")

    def settled(self) -> bool:
        """Whether no file is waiting to be complete."""
        return not self._watched

    def take(self) -> None:
        """Take every file that is complete now, in the order of their names."""
        found: dict[str, os.stat_result] = {}
        with os.scandir(self._folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # it was renamed or deleted since
                    found[entry.name] = entry.stat(follow_symlinks=False)
        self._watched = {p: w for p, w in self._watched.items() if p.parent != self._folder or p.name in found}
        visible = [self._folder / name for name in found if is_visible(name) and name not in PLACES]
        others = [path for path in visible if not self._matches(path)]
        self._leave(others, f"files do not match the pattern {self._drop.pattern}")
        for name in sorted(found):
            if not self._wanted(name, found[name]):
                continue
            marker = found.get(name + MARKER)
            path, state = self._folder / name, state_of(found[name])
            if self._complete(path, state, marked=marker is not None and stat.S_ISREG(marker.st_mode)):
                self._take(name, state)

    def taken(self) -> list[Path]:
        """The files in `taken/` that this source took, now or earlier; other files are left there, with a warning."""
        own: list[Path] = []
        others: list[Path] = []
        for path in sorted((self._folder / "taken").iterdir()):
            (own if self._matches(path) else others).append(path)
        self._leave(others, "files in taken/ are not this source's, by their names")
        self._watched = {p: w for p, w in self._watched.items() if p.parent == self._folder or p in own}
        return own

    def state(self, path: Path) -> State | None:
        """The file's state when it was complete; None if it is not complete yet."""
        if path not in self._states:
            state = state_of(path.lstat())
            if not self._complete(path, state):
                return None
            self._states[path] = state
        return self._states[path]

    def wait_again(self, path: Path) -> None:
        """Wait for the file to be complete again: it changed before any of it was published."""
        self._states.pop(path, None)
        self._complete(path, state_of(path.lstat()))

    def move(self, path: Path, place: str, state: State | None) -> None:
        """Move the file out of `taken/`; a published one is watched for some time after that."""
        target = self._folder / place / path.name
        path.rename(target)
        self._states.pop(path, None)
        if place == "done" and state is not None:
            self._published[target] = state, self._monotonic()

    def changed_after_publication(self) -> Iterator[Path]:
        """Files in `done/` to which someone has written since they were published, each once."""
        for path, (state, since) in list(self._published.items()):
            try:
                changed = state_of(path.lstat()) != state
            except FileNotFoundError:  # it was archived
                del self._published[path]
                continue
            if changed or self._monotonic() - since >= LOOK_AFTER_S:
                del self._published[path]
            if changed:
                yield path

    def example(self) -> Path | None:
        """A file that matches the pattern: one that waits, or else the one published last."""
        folders = (self._folder, self._folder / "done")
        waiting, done = (sorted(path.iterdir()) if path.is_dir() else [] for path in folders)
        files = (path for path in (*waiting, *reversed(done)) if is_visible(path.name) and not path.is_symlink())
        return next((path for path in files if self._matches(path) and path.is_file()), None)

    def names(self, *places: str) -> set[str]:
        """The names of all files in these folders."""
        return {path.name for place in places for path in (self._folder / place).iterdir()}

    def _matches(self, path: Path) -> bool:
        """Whether the name matches the pattern; for a file that was taken, the name it had before."""
        if path.parent == self._folder:
            return fnmatchcase(path.name, self._drop.pattern)
        stamped = _STAMPED.fullmatch(path.name)
        return stamped is not None and fnmatchcase(stamped[1], self._drop.pattern)

    def _wanted(self, name: str, status: os.stat_result) -> bool:
        if not is_visible(name) or not self._matches(self._folder / name):
            return False
        if stat.S_ISDIR(status.st_mode):
            return False
        if not stat.S_ISREG(status.st_mode) or not name.isprintable() or len(os.fsencode(name)) > NAME_BYTES:
            self._say(self._folder / name, "not a plain file with a short, printable name: left alone")
            return False
        return True

    def _complete(self, path: Path, state: State, *, marked: bool = False) -> bool:
        now = self._monotonic()
        settle_s = self._drop.settle_s if path.parent == self._folder else min(RESETTLE_S, self._drop.settle_s)
        before, since = self._watched.get(path, (state, now))
        quiet_s = now - since if before == state else 0.0
        complete = marked or (quiet_s >= settle_s and self._is_whole(path, quiet_s >= UNENDED * settle_s))
        if complete:
            self._watched.pop(path, None)
        else:
            self._watched[path] = state, now - quiet_s
        return complete

    def _is_whole(self, path: Path, long_quiet: bool) -> bool:
        try:
            with opened(path) as file:
                if _is_being_written(file):
                    self._say(path, "a program still has the file open for writing: it is taken when that has ended")
                    return False
                return long_quiet or self._looks_whole(file)
        except UnusableFileError:
            return True  # it will be refused

    def _take(self, name: str, state: State) -> None:
        stamp = datetime.fromtimestamp(self._clock(), UTC).strftime("%Y%m%dT%H%M%S%f")
        names = (f"{stamp}-{number:03d}-{name}" for number in count())
        unused = next(n for n in names if not any((self._folder / place / n).exists() for place in PLACES))
        # The marker goes first: if it outlived a kill, the next file of that name would count as complete at once.
        marker = self._folder / (name + MARKER)
        if not marker.is_dir():
            marker.unlink(missing_ok=True)
        (self._folder / name).rename(self._folder / "taken" / unused)
        self._states[self._folder / "taken" / unused] = state

    def _leave(self, paths: list[Path], what: str) -> None:
        if not self._said.issuperset(paths):
            self._said.update(paths)
            _log.warning(f"{len(paths)} {what}: left alone", extra={"path": str(self._folder)})

    def _say(self, path: Path, message: str) -> None:
        if path not in self._said:
            self._said.add(path)
            _log.warning(message, extra={"path": str(self._folder)})


def is_visible(name: str) -> bool:
    """Whether the name is that of a file that is meant to be taken: no hidden, unfinished or marking one."""
    return not name.startswith((".", "~$")) and not name.endswith((".part", ".tmp", MARKER))


def state_of(status: os.stat_result) -> State:
    """What changes when a file is written to."""
    return status.st_size, status.st_mtime_ns


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open the plain file of that name, never through a link; raises UnusableFileError if it is not one."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UnusableFileError(f"cannot be opened: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise UnusableFileError("not a plain file")
    with os.fdopen(handle, "rb") as file:
        yield file


def _is_being_written(file: BinaryIO) -> bool:
    """Whether some program has the file open for writing: Linux then refuses a lease for reading.

    Also False if the system cannot tell, for another user's file or on a network drive.
    """
    if not hasattr(fcntl, "F_SETLEASE"):
        return False
    try:
        # If a writer comes while we hold the lease, the system signals us: with a signal that does not end us.
        fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN
    return False
