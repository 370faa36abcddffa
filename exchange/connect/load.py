"""Reads connector.yaml from disk; reports every mistake of form at once, with line, path and remedy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from exchange.connect.config import ConnectorConfig
from exchange.document.faults import faults
from exchange.document.problem import Path as Place
from exchange.document.problem import Problem, in_words, listed
from exchange.document.yaml import Document, read
from exchange.errors import ConfigError

FILE = "connector.yaml"


class ConnectorConfigError(ConfigError):
    """A connector.yaml has mistakes; `problems` lists all of them, by line."""

    code = "connector-config"
    remedy = "correct each line that is named; `exchange connector check` checks the file"

    def __init__(self, source: str, problems: list[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__(listed(source, self.problems))


@dataclass(frozen=True)
class Connector:
    """A connector's folder, and what its file says."""

    folder: Path
    config: ConnectorConfig
    document: Document


def departments(connectors: Path) -> list[str]:
    """The departments that have a connector in that folder."""
    return sorted(path.parent.name for path in connectors.glob(f"*/{FILE}"))


def load(connectors: Path, department: str) -> Connector:
    """The connector of that department; raises ConnectorConfigError with every mistake of form."""
    path = connectors / department / FILE
    try:
        document = read(path.read_bytes())
    except OSError as error:
        known = ", ".join(departments(connectors)) or "none"
        remedy = f"there are connectors for: {known}; EXCHANGE_CONNECTORS names their folder"
        raise ConfigError(f"{path} cannot be read: {error.strerror}", remedy=remedy) from error
    problems = list(document.problems)
    config = None
    if not problems:
        try:
            config = ConnectorConfig.model_validate(document.value)
        except ValidationError as error:
            problems += mistakes(document, error)
    if config is not None and config.department != department:
        message = f"the file of {department} says department {config.department}"
        problems.append(Problem(document.line(("department",)), "department", message, "make both the same"))
    if config is None or problems:
        raise ConnectorConfigError(str(path), problems)
    return Connector(path.parent, config, document)


def mistakes(document: Document, error: ValidationError, at: Place = ()) -> list[Problem]:
    """What pydantic found wrong with the part of the document that begins `at`."""
    return faults(document, error, at, _words)


def _words(fault: ErrorDetails, place: Place) -> tuple[str, str]:
    message, remedy = in_words(fault, place)
    if fault["type"] == "extra_forbidden":
        remedy = "see docs/connectors.md for the keys there are"
        if place[0] == "sinks" and place[2:] == ("key",):
            remedy = "remove the line: the subject's `key` in the contract is what tells its rows apart"
    return message, remedy
