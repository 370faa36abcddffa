"""Loads Python that a department wrote, from its connector's folder and nowhere else."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from exchange.connect.source import Source
from exchange.connect.table_transform import TableTransform
from exchange.errors import ConfigError, ExchangeError


class UserCodeError(ConfigError):
    """A file in the connector's folder cannot be used."""

    code = "user-code"
    remedy = "correct the file"


def load(folder: Path, reference: str) -> Any:
    """The object that `file.py:name` names in that folder; raises UserCodeError if there is none."""
    file_name, _, name = reference.partition(":")
    path = folder / file_name
    if not path.is_file() or path.resolve().parent != folder.resolve():
        raise UserCodeError(f"{path} is not a file of the connector's folder", remedy="put the file there")
    spec = importlib.util.spec_from_file_location(f"exchange_connector_{folder.name}_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        return getattr(module, name)
    except AttributeError as error:
        raise UserCodeError(f"{path} has no {name}", remedy=f"define {name} in it") from error
    except (Exception, SystemExit) as error:
        raise UserCodeError(f"{path} cannot be imported: {type(error).__name__}", remedy="run it by itself") from error


def transform(folder: Path, reference: str) -> Callable[[Mapping[str, Any]], Mapping[str, Any] | None]:
    """The function that maps a row to a row, or to None if the row is not to be published.

    If its argument is called `table`, it is a TableTransform. Raises UserCodeError if it does not take one argument.
    """
    function: Callable[[Mapping[str, Any]], Mapping[str, Any] | None] = load(folder, reference)
    if not callable(function):
        raise UserCodeError(f"{reference} is not a function", remedy="def it with one argument, the row")
    try:
        takes = inspect.signature(function)
    except ValueError:  # of what is written in C, nobody says what it takes
        return function
    try:
        takes.bind(None)
    except TypeError as error:
        raise UserCodeError(
            f"{reference} does not take one argument", remedy="def it with one: row or table"
        ) from error
    return TableTransform(reference, function) if next(iter(takes.parameters)) == "table" else function


def source(folder: Path, reference: str, options: Mapping[str, Any]) -> Source:
    """A source of the class that the department wrote."""
    kind = load(folder, reference)
    if not (isinstance(kind, type) and issubclass(kind, Source)):
        raise UserCodeError(f"{reference} is not a Source class", remedy="subclass exchange.connect.source.Source")
    try:
        return kind(options)
    except ExchangeError:
        raise
    except (Exception, SystemExit) as error:
        raise UserCodeError(
            f"{folder / reference} cannot be made: {type(error).__name__}",
            remedy="define open and pages; an __init__ takes the options alone",
        ) from error
