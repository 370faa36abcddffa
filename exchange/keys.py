"""The 32-byte keys for the ledger's tags and for pseudonyms; each is kept in a file and created once."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from exchange import private
from exchange.errors import ConfigError
from exchange.settings import Settings

KEY_BYTES = 32


class KeyFileError(ConfigError):
    """A key file cannot be used."""

    code = "key-file"
    remedy = "restore it from a backup"


def ledger_key(settings: Settings) -> bytes:
    """The key for tags: from the file that the settings name, else from `ledger.key` at home, created if missing.

    A file that the settings name is never created: with a typing error, one router would get another key.
    """
    if settings.ledger_key_file:
        return load(settings.ledger_key_file)
    return load_or_create(ledger_key_file(settings))


def ledger_key_file(settings: Settings) -> Path:
    """The file that holds the key for tags."""
    return settings.ledger_key_file or settings.home / "ledger.key"


def pseudonym_key(settings: Settings) -> bytes:
    """The key from which readers' pseudonyms are derived; found and created like the ledger's (`pseudonym.key`)."""
    if settings.pseudonym_key_file:
        return load(settings.pseudonym_key_file)
    return load_or_create(settings.home / "pseudonym.key")


def pseudonym_key_there(settings: Settings) -> bytes:
    """The key for pseudonyms if the routers created one, else empty: a new key would give other pseudonyms."""
    path = settings.pseudonym_key_file or settings.home / "pseudonym.key"
    return load(path) if settings.pseudonym_key_file or path.exists() else b""


def load(path: Path) -> bytes:
    """The key in that file; raises KeyFileError if it is missing, not a key, or readable by others."""
    try:
        mode = path.stat().st_mode
        key = path.read_bytes()
    except OSError as error:
        raise KeyFileError(
            f"{path}: cannot be read: {error.strerror}",
            remedy="name the file that all routers have (EXCHANGE_LEDGER_KEY_FILE, EXCHANGE_PSEUDONYM_KEY_FILE); "
            "32 random bytes, mode 0600, make a new one",
        ) from error
    if mode & 0o077:
        raise KeyFileError(f"{path}: others may read the key", remedy=f"chmod 600 {path}")
    if len(key) != KEY_BYTES:
        raise KeyFileError(f"{path}: holds {len(key)} bytes, not {KEY_BYTES}")
    return key


def load_or_create(path: Path, random: Callable[[int], bytes] = os.urandom) -> bytes:
    """The key in that file, which is created (mode 0600) if it is missing.

    If several processes create it at once, all return the one key that is kept. It is never replaced: without the file,
    no tag in the ledger can be looked up, and every pseudonym changes.
    """
    if not path.exists():
        try:
            private.folder(path.parent)
            with suppress(FileExistsError):
                private.write(path, random(KEY_BYTES), put=os.link)  # never replaces another process's key
        except OSError as error:
            raise KeyFileError(f"{path}: cannot be made: {error.strerror}", remedy="check the folder") from error
    return load(path)
