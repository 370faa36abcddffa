"""Reads the contract file and its schema files from disk and checks them."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache

from exchange.contract.check import Check
from exchange.contract.file import read_file
from exchange.contract.model import Contract
from exchange.document.problem import ContractError, Problem
from exchange.document.yaml import Document, read
from exchange.schema import avro
from exchange.schema.avro import Schema
from exchange.schema.resolve import SchemaError


@dataclass(frozen=True)
class Loaded:
    """A contract without errors, the schema of each subject, and the warnings about it."""

    contract: Contract
    schemas: Mapping[str, Schema]
    warnings: tuple[Problem, ...]


def load(path: pathlib.Path, today: date) -> Loaded:
    """The contract in that file, checked as of `today`; raises ContractError with every mistake if there are any."""
    check = examine(path, today)
    contract = check.contract
    if contract is None:
        raise ContractError(str(path), check.problems)
    return Loaded(contract, check.schemas, tuple(check.problems))


def examine(path: pathlib.Path, today: date, document: Document | None = None) -> Check:
    """Check the file and its schemas; raises ConfigError only if the file cannot be read.

    If `document` is given, it is checked in place of the file's content.
    """
    document = document or read(read_file(path))
    folder = path.parent.resolve()

    @cache
    def find_schema(entry: str) -> Schema:
        try:
            target = (folder / entry).resolve()
            is_other = target.exists() and not target.is_file()
        except (OSError, RuntimeError) as error:  # the name is too long, or a link leads to itself
            raise SchemaError(f"'{entry}' cannot be a file", remedy="name the file itself") from error
        if not target.is_relative_to(folder):
            raise SchemaError(f"'{entry}' leads out of the contract's folder", remedy="keep schemas under schemas/")
        if target.suffix != ".avsc" or is_other:
            raise SchemaError(f"'{entry}' is not an Avro schema file", remedy="name a file ending in .avsc")
        try:
            return avro.load(target)
        except SchemaError as error:
            raise SchemaError(error.message.replace(str(target), entry), remedy=error.remedy) from error

    return Check(document, find_schema, today)
