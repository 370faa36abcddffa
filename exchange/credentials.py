"""Credential files: the login with which a client reaches Kafka, kept where only its owner can read it."""

from __future__ import annotations

import os
import re
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML

from exchange import names, private
from exchange.document.yaml import read
from exchange.errors import ConfigError
from exchange.settings import Settings

SERVICES = (names.ADMIN_PRINCIPAL, names.ROUTER_PRINCIPAL, names.LEDGER_PRINCIPAL)
"""The principals that are not departments. A department's id has no dot, so none can have such a name."""

FOLDER = "credentials"
MAX_BYTES = 64 << 10


class CredentialsError(ConfigError):
    """A credential file cannot be used."""

    code = "credentials"
    remedy = "make a new file with `exchange department rotate-credential`"


class Security(BaseModel):
    """How a client logs in, and which authority vouches for the broker; also the content of a credential file."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    username: str = Field(min_length=1, description="The principal: a department's id, or a service.")
    password: str = Field(min_length=1, repr=False)
    mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256"] = "SCRAM-SHA-512"
    protocol: Literal["SASL_SSL"] = "SASL_SSL"
    ca: Path | None = Field(None, description="PEM file of the broker's authority; absent: the system's authorities.")


def find(settings: Settings, principal: str) -> Security | None:
    """The credentials in the file that the settings name, else the principal's at home; None if there are none.

    None means a Kafka without security, which only its owner may choose. Raises CredentialsError if a file is named, or
    exists, but cannot be used.
    """
    if settings.credentials:
        return load(settings.credentials)
    path = file_of(settings.home, principal)
    return load(path) if path.exists() else None


def file_of(home: Path, principal: str) -> Path:
    """The path of that principal's credentials; raises CredentialsError for a name that could lead elsewhere."""
    if not re.fullmatch(r"\w[\w.-]*", principal, re.ASCII):
        raise CredentialsError(
            f"{principal!r} is not a principal", remedy="name a department of the contract or a service"
        )
    return home / FOLDER / f"{principal}.yaml"


def load(path: Path) -> Security:
    """The credentials in that file; `ca` is relative to its folder.

    Raises CredentialsError if the file is missing, readable by others, or holds something else. No message repeats any
    of the file's content.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(MAX_BYTES)
    except OSError as error:
        remedy = "name the file that `exchange department add` wrote (EXCHANGE_CREDENTIALS)"
        raise CredentialsError(f"{path}: cannot be read: {error.strerror}", remedy=remedy) from error
    if mode & 0o077:
        raise CredentialsError(f"{path}: others may read the password", remedy=f"chmod 600 {path}")
    document = read(text)
    if document.problems:  # their messages quote the file
        raise CredentialsError(f"{path}: is not plain YAML", remedy=_REMEDY)
    try:
        security = Security.model_validate(document.value)
    except ValidationError as error:
        wrong = {str(place) for fault in error.errors() for place in fault["loc"]}
        told = ", ".join(sorted(wrong & set(Security.model_fields))) or "a key that a credential file does not have"
        raise CredentialsError(f"{path}: wrong or missing: {told}", remedy=_REMEDY) from None
    return security.model_copy(update={"ca": path.parent / security.ca}) if security.ca else security


_REMEDY = "have it written again: exchange department rotate-credential"


def save(path: Path, security: Security) -> None:
    """Write the credentials atomically, readable by this user only (file 0600, a new folder 0700)."""
    content: dict[str, Any] = security.model_dump(exclude_none=True)
    if security.ca:
        beside = security.ca.parent == path.parent
        content["ca"] = security.ca.name if beside else str(security.ca.resolve())
    text, yaml = BytesIO(), YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.dump(content, text)
    try:
        private.folder(path.parent)
        private.write(path, text.getvalue())
    except OSError as error:
        raise CredentialsError(f"{path}: cannot be written: {error.strerror}", remedy="check the folder") from error
