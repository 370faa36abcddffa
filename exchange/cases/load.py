"""Reads case types from disk; reports every mistake of a file at once, with line, path and remedy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from exchange.cases import answered, check
from exchange.cases.case_type import CaseType, FindingRule, Item, Parameter
from exchange.contract.base import Model
from exchange.contract.model import Contract
from exchange.document.faults import Words, faults
from exchange.document.nearest import nearest
from exchange.document.problem import Path as Place
from exchange.document.problem import Problem, Severity, dotted, in_words, listed
from exchange.document.yaml import Document, read
from exchange.errors import ConfigError

FOLDER, SUFFIX = "cases", ".yaml"
M = TypeVar("M", bound=Model)

REMEDIES = {
    "string_type": "put it in quotes",
    "date_from_datetime_parsing": "write a day that exists, as YYYY-MM-DD",
    "date_type": "write a day that exists, as YYYY-MM-DD",
    "tuple_type": "write a list: begin each with a dash, or put them in brackets",
    "model_type": "write `key: value` pairs",
    "string_pattern_mismatch": "use small letters, digits, and hyphens or underscores; a letter first",
}
FORMS = {
    "period": "write it as `12 months`",
    "region": "give the region's code: digits, in quotes",
    "python": "write it as `file.py:function`",
}
"""What is right under keys whose values have a form of their own."""


class CaseTypeError(ConfigError):
    """A case type's file has mistakes; `problems` lists all of them, by line."""

    code = "case-type"
    remedy = "correct each line that is named; `exchange validate` checks the file"

    def __init__(self, source: str, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__(listed(source, self.problems))


@dataclass(frozen=True)
class CaseTypeFile:
    """What is in a case type's file: its mistakes, by line, and the case type, if none of them is an error."""

    case_type: CaseType | None
    problems: tuple[Problem, ...]


def files(connectors: Path) -> list[Path]:
    """The files of all case types, of every department that has a folder there."""
    return sorted(path for path in connectors.glob(f"*/{FOLDER}/*") if path.suffix in (SUFFIX, ".yml"))


def load(connectors: Path, department: str, type_: str, contract: Contract, today: date) -> CaseType:
    """The department's case type of that name; raises CaseTypeError with every mistake of its file."""
    path = connectors / department / FOLDER / f"{type_}{SUFFIX}"
    if not path.is_file():
        known = [each.stem for each in files(connectors) if each.parent == path.parent]
        remedy = nearest(type_, known) or "the department has none there"
        raise ConfigError(f"{path} is not there", remedy=remedy)
    return sound(path, contract, today)


def sound(path: Path, contract: Contract | None, today: date) -> CaseType:
    """The case type in that file, examined as `examine` does; raises CaseTypeError with every mistake of it."""
    found = examine(path, contract, today)
    if found.case_type is None:
        raise CaseTypeError(str(path), found.problems)
    return found.case_type


def examine(path: Path, contract: Contract | None, today: date) -> CaseTypeFile:
    """Check the file, the code beside it, and what it needs of the contract, if one is given."""
    try:
        document = read(path.read_bytes())
    except OSError as error:
        return CaseTypeFile(None, (Problem(1, "", f"cannot be read: {error.strerror}", "see who may read it"),))
    problems = list(document.problems)
    root = document.value
    if not isinstance(root, dict):
        if not problems:
            problems.append(Problem(1, "", "the file is not a mapping", "begin with `title: {zh: …, en: …}`"))
        return CaseTypeFile(None, tuple(problems))
    names = {"department": path.parent.parent.name, "type": path.stem}
    case_type = None
    try:
        case_type = CaseType.model_validate({**root, **names})
    except ValidationError as error:
        problems += faults(document, error, words=_words(document))
    mistakes = [*_names(path, root, names), *_mistakes(path, root, contract, today)]
    problems += [_told(document, mistake) for mistake in mistakes]
    if case_type is not None and not problems and contract is not None:
        problems += [_told(document, mistake) for mistake in answered.too_much(path.parents[2], case_type)]
    if case_type is None or problems:
        return CaseTypeFile(None, tuple(sorted(problems)))
    doubts = [*check.on(today, case_type)]
    if contract is not None:
        doubts += answered.too_little(path.parents[2], case_type)
    return CaseTypeFile(case_type, tuple(_told(document, mistake, "warning") for mistake in doubts))


def _told(document: Document, mistake: check.Mistake, severity: Severity = "error") -> Problem:
    place, message, remedy = mistake
    return Problem(document.line(place), dotted(place), message, remedy, severity)


def _names(path: Path, root: Mapping[str, Any], names: Mapping[str, str]) -> Iterator[check.Mistake]:
    """The file's place says department and type; if the file says them too, it must say the same."""
    if path.suffix != SUFFIX:
        yield check.Mistake((), f"the file's name ends in {path.suffix}", f"rename it to {path.stem}{SUFFIX}")
    for key, name in names.items():
        if root.get(key, name) != name:
            yield check.Mistake((key,), f"the file's place says {key} {name}", "make both the same, or remove the line")


def _mistakes(path: Path, root: Mapping[str, Any], contract: Contract | None, today: date) -> Iterator[check.Mistake]:
    items, parameters = dict(_sound(root, "items", Item)), dict(_sound(root, "parameters", Parameter))
    rules = dict(_sound(root, "rules", FindingRule))
    sound = {"items": len(items), "parameters": len(parameters), "rules": len(rules)}
    left_out = frozenset(key for key, count in sound.items() if key in root and count != _length(root[key]))
    parts = check.Parts(path.parent.parent.name, items, parameters, rules, left_out)
    yield from check.within_itself(parts)
    yield from check.beside(path.parent, rules)
    if contract is not None:
        yield from check.under(contract, parts, today)


def _length(there: Any) -> int | None:
    return len(there) if isinstance(there, list) else None


def _sound(root: Mapping[str, Any], key: str, model: type[M]) -> Iterator[tuple[Place, M]]:
    """The well-formed ones of a list: they get their other checks, even if the rest has mistakes of form."""
    there = root.get(key)
    for i, value in enumerate(there if isinstance(there, list) else ()):
        with suppress(ValidationError):  # its faults are reported with those of the whole
            yield (key, i), model.model_validate(value)


def _words(document: Document) -> Words:
    def words(fault: ErrorDetails, place: Place) -> tuple[str, str]:
        message, remedy = in_words(fault, place)
        if fault["type"] == "extra_forbidden":
            remedy = nearest(str(place[-1]), _keys(place[:-1]))
        if place == ("type",) and place not in document.lines:
            message, remedy = "the file's name is not a name of a type", "use small letters, digits and hyphens"
        if fault["type"] == "string_pattern_mismatch":
            remedy = FORMS.get(str(place[-1]), "")
        return message, remedy or REMEDIES.get(fault["type"], "")

    return words


def _keys(place: Place) -> list[str]:
    """The keys that the file may have at that place."""
    kind: type[Model] = CaseType
    for part in place:
        field = next((f for name, f in kind.model_fields.items() if part in (name, f.alias)), None)
        models = (each for each in (field.annotation, *get_args(field.annotation)) if _is_model(each)) if field else ()
        kind = next(iter(models), kind)
    return [field.alias or name for name, field in kind.model_fields.items()]


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Model)
