"""The 32-byte key of the ledger's tags: kept in a file, made once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from tempfile import NamedTemporaryFile

from exchange.errors import ConfigError
from exchange.settings import Settings

KEY_BYTES = 32


class LedgerKeyError(ConfigError):
    """The file of the ledger's key cannot be used."""

    code = "ledger-key"


def load_key(settings: Settings) -> bytes:
    """The routers' key: in the file that the settings name, else in `ledger.key` of the home folder, made if missing.

    A file that is named is not made: a typing error would give one router a key of its own.
    """
    if settings.ledger_key_file:
        return load(settings.ledger_key_file)
    return load_or_create(key_file(settings))


def key_file(settings: Settings) -> Path:
    """Where the key is kept."""
    return settings.ledger_key_file or settings.home / "ledger.key"


def load(path: Path) -> bytes:
    """The key in that file; LedgerKeyError where it is missing, no key, or readable by others."""
    try:
        mode = path.stat().st_mode
        key = path.read_bytes()
    except OSError as error:
        raise LedgerKeyError(
            f"{path}: cannot be read: {error.strerror}",
            remedy="name the routers' key file by EXCHANGE_LEDGER_KEY_FILE; 32 random bytes, mode 0600, make a new one",
        ) from error
    if mode & 0o077:
        raise LedgerKeyError(f"{path}: others may read the key", remedy=f"chmod 600 {path}")
    if len(key) != KEY_BYTES:
        raise LedgerKeyError(f"{path}: holds {len(key)} bytes, not {KEY_BYTES}", remedy="restore it from a backup")
    return key


def load_or_create(path: Path, random: Callable[[int], bytes] = os.urandom) -> bytes:
    """The key in that file, which is made (mode 0600) where it is missing.

    Of processes that make it at once, all return the one key that is kept. Losing the file makes
    every tag in the ledger unanswerable, so it is never replaced.
    """
    if not path.exists():
        try:
            _create(path, random(KEY_BYTES))
        except OSError as error:
            raise LedgerKeyError(f"{path}: cannot be made: {error.strerror}", remedy="check the folder") from error
    return load(path)


def _create(path: Path, key: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=path.parent, prefix=f"{path.name}.") as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
        try:
            os.link(file.name, path)  # unlike a rename, never replaces another process's key
        except FileExistsError:
            return
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
