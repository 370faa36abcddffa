"""Reads requests for many subjects from a YAML or CSV file, which may come from someone else."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from exchange.document import yaml as documents
from exchange.document.problem import ContractError
from exchange.errors import ConfigError
from exchange.grants.propose import Draft, RequestMistakesError

MAX_REQUESTS = 1000
COLUMNS = ("subject", "fields", "purpose", "basis", "text", "from", "until")


def read_drafts(path: Path, common: Mapping[str, Any]) -> list[Draft]:
    """One draft per entry of a YAML list, or per row of a `.csv` file; `common` fills in what an entry does not say.

    An entry has the keys of a grant in the contract file, except `id` and `reader`. A CSV file has some of COLUMNS,
    with fields separated by spaces. Raises ContractError with every mistake of the file's form, RequestMistakesError
    if it is not a list, or too long.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", remedy="give the path of a file") from error
    drafts = list(_rows(data, common) if path.suffix == ".csv" else _entries(str(path), data, common))
    if not 0 < len(drafts) <= MAX_REQUESTS:
        raise RequestMistakesError(
            f"{path} has {len(drafts)} requests", remedy=f"let a file have 1 to {MAX_REQUESTS} of them"
        )
    return drafts


def parse_value(text: str, what: str) -> Any:
    """A value given on the command line as YAML, such as `{year: {ge: 2024}}`; raises ContractError if it is none."""
    document = documents.read(text.encode("utf-8", "surrogateescape"))
    if document.problems:
        raise ContractError(what, document.problems)
    return document.value


def merged(common: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """`common`, overwritten by `own`; `purpose` is merged in the same way."""
    purpose = own.get("purpose", {})
    both = {**common, **own}
    if isinstance(purpose, Mapping):
        both["purpose"] = {**common.get("purpose", {}), **purpose}
    return both


def _entries(name: str, data: bytes, common: Mapping[str, Any]) -> Iterator[Draft]:
    document = documents.read(data)
    if document.problems:
        raise ContractError(name, document.problems)
    if not isinstance(document.value, list) or not all(isinstance(entry, dict) for entry in document.value):
        raise RequestMistakesError(f"{name} is not a list of requests", remedy="start each with `- subject: …`")
    for at, entry in enumerate(document.value):
        forbidden = sorted({"id", "reader"} & entry.keys())
        if forbidden:
            message = (
                f"{name}, line {document.line((at, forbidden[0]))}: '{forbidden[0]}' is not for the requester to say"
            )
            raise RequestMistakesError(message, remedy="leave it out: the reader is your department, the id is given")
        lines = {path[1:]: line for path, line in document.lines.items() if path[:1] == (at,)}
        yield Draft(merged(common, entry), "", lines)


def _rows(data: bytes, common: Mapping[str, Any]) -> Iterator[Draft]:
    try:
        reader = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
        unknown = sorted(set(reader.fieldnames or ()) - set(COLUMNS))
        if unknown or "subject" not in (reader.fieldnames or ()):
            message = f"the columns are not {', '.join(COLUMNS)}" + (f": {unknown[0]!r}" if unknown else "")
            raise RequestMistakesError(message, remedy="give `subject` at least; the rest can come from options")
        for row in reader:
            if None in row or None in row.values():
                message = f"line {reader.line_num}: the row has more or fewer cells than there are columns"
                raise RequestMistakesError(message, remedy="put text with commas in double quotes")
            yield Draft(merged(common, _values(row)), f"line {reader.line_num}, ")
    except UnicodeDecodeError as error:
        raise RequestMistakesError("the file is not UTF-8", remedy="save it as UTF-8") from error
    except csv.Error as error:
        raise RequestMistakesError(f"the file is not CSV: {error}", remedy="close the quotes, or use YAML") from error


def _values(row: Mapping[str, str]) -> dict[str, Any]:
    """The cells that are not empty, as values of a grant."""
    given = {name: cell.strip() for name, cell in row.items() if cell.strip()}
    values: dict[str, Any] = {name: given[name] for name in ("subject", "from", "until") if name in given}
    if "fields" in given:
        values["fields"] = "all" if given["fields"] == "all" else given["fields"].split()
    return values | {"purpose": purpose_of(given)}


def purpose_of(given: Mapping[str, str | None]) -> dict[str, Any]:
    """A grant's purpose, of what is given under the names that columns and options have."""
    names = (("code", "purpose"), ("basis", "basis"), ("text", "text"))
    return {key: given[name] for key, name in names if given.get(name)}
