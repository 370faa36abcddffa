"""The contract after the city has changed: one grant is narrower, and one is revoked."""

from __future__ import annotations

from pathlib import Path

from exchange import private
from exchange.contract.edit import rewritten
from exchange.contract.file import read_file
from exchange.contract.load import Loaded
from exchange.contract.model import Grant
from exchange.errors import ConfigError

NARROWED = "income-fund"
NARROWER = {"status": {"eq": "active"}}
REVOKED = "credit-licence"
REVOKER = "data-services"
"""Who revokes it: the subject's owner."""


class GrantMissingError(ConfigError):
    """The contract lacks a grant that the demo changes."""

    code = "demo-grant"
    remedy = "bring the grant back, with a sink in its reader's connector"


def revoked(loaded: Loaded) -> Grant:
    """The grant that is revoked, as it was."""
    return _grant(loaded, REVOKED)


def write(original: Path, loaded: Loaded, home: Path) -> Path:
    """Write a copy of the contract as it is later, with its schemas; return its path. The original stays as it is."""
    narrowed = Grant.model_validate({**_grant(loaded, NARROWED).model_dump(by_alias=True), "where": NARROWER})
    _grant(loaded, REVOKED)
    return _write(original, loaded, home, rewritten(read_file(original), put=[narrowed], drop=[REVOKED]))


def copy(original: Path, loaded: Loaded, home: Path) -> Path:
    """Write the copy as the original is."""
    return _write(original, loaded, home, read_file(original))


def _write(original: Path, loaded: Loaded, home: Path, text: bytes) -> Path:
    folder = private.folder(home / "city" / "contract")
    for subject in loaded.contract.subjects:
        private.folder((folder / subject.schema_file).parent)
        private.write(folder / subject.schema_file, (original.parent / subject.schema_file).read_bytes())
    path = folder / "topics.yaml"
    private.write(path, text)
    return path


def _grant(loaded: Loaded, grant_id: str) -> Grant:
    found = next((grant for grant in loaded.contract.grants if grant.id == grant_id), None)
    if found is None:
        raise GrantMissingError(f"the contract has no grant {grant_id}")
    return found
