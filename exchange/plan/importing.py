"""Writes a first contract for what a cluster already has, see `starter`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from exchange import private
from exchange.errors import ConfigError
from exchange.plan.apply import read_actual
from exchange.plan.find import administrators
from exchange.plan.starter import DEFAULT_PATTERN, Starter, make_starter
from exchange.settings import Settings


class NothingToImportError(ConfigError):
    """No topic of the cluster can become a subject."""

    code = "nothing-to-import"
    remedy = "give a pattern that fits the topics' names"


class WouldOverwriteError(ConfigError):
    """A file that would be written exists already."""

    code = "would-overwrite"
    remedy = "name another contract in EXCHANGE_CONTRACT, or use --force"


def import_contract(settings: Settings, patterns: Sequence[str], *, force: bool) -> tuple[Starter, list[Path]]:
    """Write the settings' contract with its schemas, made from the cluster's topics; return it, and the files.

    Raises NothingToImportError if no topic matches a pattern, WouldOverwriteError if a file exists and not `force`.
    """
    actual = read_actual(administrators(settings))
    starter = make_starter(actual.topics, actual.registry, patterns)
    if not starter.subjects:
        remedy = f"say how they are named with --pattern, as '{DEFAULT_PATTERN}'"
        raise NothingToImportError(f"none of {len(actual.topics)} topics matches a pattern", remedy=remedy)
    folder = settings.contract.parent
    files = {folder / name: text for name, text in starter.schemas.items()} | {settings.contract: starter.contract}
    _write(files, force=force)
    return starter, list(files)


def _write(files: Mapping[Path, str], *, force: bool) -> None:
    """Write all of the files, the contract last; or none, if one exists and must not be overwritten."""
    there = [path for path in files if path.exists()]
    if there and not force:
        message = f"{there[0]} is there already" + (f", and {len(there) - 1} more" if len(there) > 1 else "")
        raise WouldOverwriteError(message)
    try:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            private.write(path, text.encode(), 0o666)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error
