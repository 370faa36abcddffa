"""Turns the document into models, item by item; the valid parts of an item with mistakes are kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from exchange.contract.base import Model
from exchange.contract.model import Contract, Department, Grant, Rates, Subject
from exchange.document.nearest import nearest
from exchange.document.problem import Path, Problem, dotted, in_words
from exchange.document.yaml import Document

M = TypeVar("M", bound=Model)

REMEDIES = {
    "string_type": "put it in quotes",
    "date_from_datetime_parsing": "write a day that exists, as YYYY-MM-DD",
    "date_type": "write a day that exists, as YYYY-MM-DD",
    "string_pattern_mismatch": "use small letters, digits and hyphens, a letter first",
    "tuple_type": "write a list of names, or `all`",
}


class Shape:
    """The contract's items by path; an attribute that is wrong or missing is None.

    `complete` is the whole contract if nothing is wrong.
    """

    def __init__(self, document: Document) -> None:
        self.problems: list[Problem] = []
        self._document = document
        root = document.value
        if not isinstance(root, dict):
            self._add((), "the file is not a mapping", "start with `version: 1`")
            root = {}
        self._head(root)
        self._rates(root)
        self.departments = dict(self._items(root, "departments", Department))
        self.subjects = dict(self._items(root, "subjects", Subject))
        self.grants = dict(self._items(root, "grants", Grant))

    @property
    def complete(self) -> Contract | None:
        """The contract; None if its shape has a mistake."""
        return None if self.problems or self._document.problems else Contract.model_validate(self._document.value)

    def _add(self, path: Path, message: str, remedy: str = "") -> None:
        self.problems.append(Problem(self._document.line(path), dotted(path), message, remedy))

    def _head(self, root: Mapping[str, Any]) -> None:
        known = tuple(Contract.model_fields)
        for key in root:
            if key not in known:
                self._add((key,), f"'{key}' is not known here", nearest(key, known))
        if root.get("version") != 1 or isinstance(root.get("version"), bool):
            self._add(("version",), "the contract's version is not 1", "write `version: 1`")
        for key in ("departments", "subjects"):
            if key not in root:
                self._add((key,), f"'{key}' is missing", f"give a list of {key}")

    def _rates(self, root: Mapping[str, Any]) -> None:
        rates = root.get("rates", {})
        if isinstance(rates, dict):
            self._salvage(Rates, rates, ("rates",))
        else:
            self._add(("rates",), "'rates' is not a mapping", "write `rates: {producer_byte_rate: 10000000}`")

    def _items(self, root: Mapping[str, Any], key: str, model: type[M]) -> Iterator[tuple[Path, M]]:
        items = root.get(key, [])
        if not isinstance(items, list):
            self._add((key,), f"'{key}' is not a list", f"start each of the {key} with a dash")
            return
        for i, item in enumerate(items):
            path: Path = (key, i)
            if isinstance(item, dict):
                yield path, self._salvage(model, item, path)
            else:
                self._add(path, "is not a mapping", "write `key: value` pairs")

    def _salvage(self, model: type[M], item: Mapping[str, Any], path: Path) -> M:
        """The item as a model, with None for each attribute that is wrong; every mistake is reported."""
        try:
            return model.model_validate(item)
        except ValidationError as error:
            self._note(model, error, path)
        kept = {name: _attribute(field, name, item) for name, field in model.model_fields.items()}
        return model.model_construct(_fields_set=None, **kept)  # type: ignore[return-value]

    def _note(self, model: type[Model], error: ValidationError, path: Path) -> None:
        by_path: dict[Path, list[tuple[str, str]]] = {}
        for fault in error.errors(include_url=False, include_context=False):
            place, kind = self._place(path, fault["loc"]), fault["type"]
            message, remedy = in_words(fault, place)
            if kind == "extra_forbidden":
                remedy = nearest(str(place[-1]), _keys(model, place[len(path) : -1]))
            if kind in ("extra_forbidden", "missing"):
                by_path[place] = []
            by_path.setdefault(place, []).append((message, remedy or REMEDIES.get(kind, "")))
        for place, faults in by_path.items():
            if any(other[: len(place)] == place and other != place for other in by_path):
                continue  # another member of the union fits better, and its fault says what is wrong inside
            message = " or ".join(dict.fromkeys(message for message, _ in faults))
            self._add(place, message, next((remedy for _, remedy in faults if remedy), ""))

    def _place(self, path: Path, loc: tuple[int | str, ...]) -> Path:
        """The path in the file of pydantic's `loc`, without the names of union members that pydantic inserts."""
        for i, part in enumerate(loc):
            of_union = isinstance(part, str) and ("[" in part or part in UNION_MEMBERS)
            if (*path, part) in self._document.lines or (i == len(loc) - 1 and not of_union):
                path = (*path, part)
        return path


UNION_MEMBERS = frozenset(("str", "int", "float", "bool", "none"))


def _attribute(field: FieldInfo, name: str, item: Mapping[str, Any]) -> Any:
    key = field.alias or name
    if key not in item:
        return None if field.is_required() else field.get_default(call_default_factory=True)
    value: Any = item[key]
    kind: Any = field.annotation
    # Take the constraints only: the alias belongs to the model, not to the type.
    adapter: TypeAdapter[Any] = TypeAdapter(Annotated[kind, *field.metadata] if field.metadata else kind)
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        if not isinstance(value, dict):
            return None
        if isinstance(kind, type) and issubclass(kind, Model):
            parts = {n: _attribute(f, n, value) for n, f in kind.model_fields.items()}
            return kind.model_construct(_fields_set=None, **parts)
        # In a mapping such as `where`, the valid entries still get their other checks.
        wrong = {fault["loc"][0] for fault in error.errors()}
        try:
            return adapter.validate_python({k: v for k, v in value.items() if k not in wrong})
        except ValidationError:  # a mapping that should not be one
            return None


def _keys(model: type[Model], path: Path) -> list[str]:
    """The keys allowed in the part of the model at that path."""
    kind: Any = model
    for part in path:
        field = next((f for n, f in kind.model_fields.items() if part in (n, f.alias)), None) if kind else None
        annotation = field.annotation if field else None
        kind = annotation if isinstance(annotation, type) and issubclass(annotation, Model) else None
    return [f.alias or n for n, f in kind.model_fields.items()] if kind else []
