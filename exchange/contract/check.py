"""Checks whether a well-formed contract makes sense as a whole; reports every mistake in one run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import date

from stdnum.cn import uscc
from stdnum.exceptions import ValidationError

from exchange.contract import key
from exchange.contract.conditions import faults
from exchange.contract.masks import faults as mask_faults
from exchange.contract.model import Contract, Department, Grant, Subject
from exchange.contract.rounding import fault
from exchange.contract.shape import Shape
from exchange.contract.terms import GROUPS, Condition, Mask, Where
from exchange.contract.touch import touched
from exchange.document.nearest import nearest
from exchange.document.problem import Path, Problem, Severity, dotted
from exchange.document.yaml import Document
from exchange.schema.avro import Schema
from exchange.schema.resolve import SchemaError

# Principals, groups and transactional ids start with `<department>.`: this prefix is the exchange's own.
RESERVED = frozenset(("exchange",))

FindSchema = Callable[[str], Schema]
"""Returns the schema named by a subject's `schema:`; raises SchemaError if it cannot be had."""


class Check:
    """The check of one document: its `problems` by line, and its `contract` if none of them is an error."""

    def __init__(self, document: Document, find_schema: FindSchema, today: date) -> None:
        self._document, self._today = document, today
        self._problems: list[Problem] = list(document.problems)
        self.schemas: dict[str, Schema] = {}
        self._ids: set[str] = set()
        self._by_id: dict[str, Subject] = {}
        self._shape = Shape(document) if document.value is not None else None
        if self._shape:
            self._problems += self._shape.problems
            self._departments(self._shape.departments)
            self._subjects(self._shape.subjects, find_schema)
            self._grants(self._shape.grants)

    @property
    def problems(self) -> list[Problem]:
        """Every mistake, by line."""
        return sorted(self._problems)

    @property
    def contract(self) -> Contract | None:
        """The contract; None if any problem is an error."""
        wrong = any(problem.severity == "error" for problem in self._problems)
        return None if wrong or not self._shape else self._shape.complete

    def changes(self, before: Check) -> list[Problem]:
        """One warning, by line, for each reader whom a schema change since `before` affects."""
        grants = self._shape.grants if self._shape else {}
        return sorted(
            Problem(self._document.line(path), dotted(path), message, severity="warning")
            for path, grant in grants.items()
            if grant.fields and (new := self.schemas.get(grant.subject)) and (old := before.schemas.get(grant.subject))
            for message in touched(grant, old, new)
        )

    def _add(self, path: Path, message: str, remedy: str = "", severity: Severity = "error") -> None:
        self._problems.append(Problem(self._document.line(path), dotted(path), message, remedy, severity))

    def _once(self, values: Iterable[tuple[Path, object]], what: str) -> None:
        """Report every value that is given more than once."""
        first: dict[object, Path] = {}
        for path, value in values:
            if value is None:
                continue
            if value in first:
                line = self._document.line(first[value])
                self._add(
                    path, f"{what} '{value}' is given twice, first in line {line}", "remove or rename one of them"
                )
            first.setdefault(value, path)

    def _departments(self, departments: Mapping[Path, Department]) -> None:
        self._ids = {d.id for d in departments.values() if d.id}
        self._once([((*path, "id"), d.id) for path, d in departments.items()], "department")
        self._once([((*path, "credit_code"), d.credit_code) for path, d in departments.items()], "credit code")
        for path, department in departments.items():
            if department.id in RESERVED:
                self._add((*path, "id"), f"'{department.id}' is the exchange's own name", "choose another id")
            if department.credit_code:
                self._credit_code((*path, "credit_code"), department.credit_code)

    def _credit_code(self, path: Path, code: str) -> None:
        try:
            if uscc.validate(code) == code:
                return
            message, remedy = "the credit code has spaces, hyphens or small letters", f"write {uscc.compact(code)}"
        except ValidationError:
            message, remedy = "is not a unified social credit code", "give its 18 characters (GB 32100)"
            try:
                right = code[:-1] + uscc.calc_check_digit(code[:-1])
                if uscc.is_valid(right) and len(code) == 18:
                    message = f"the credit code's check digit is wrong: '{code[-1]}'"
                    remedy = f"the code was mistyped, or ends in '{right[-1]}'"
            except ValueError:
                pass  # it has a letter that no credit code has
        self._add(path, message, remedy)

    def _department(self, path: Path, name: str | None) -> None:
        if name and name not in self._ids:
            self._add(path, f"department '{name}' is not in this contract", nearest(name, self._ids))

    def _subjects(self, subjects: Mapping[Path, Subject], find_schema: FindSchema) -> None:
        self._by_id = {s.id: s for s in reversed(list(subjects.values())) if s.owner and s.name}
        named = [((*path, "name"), s.id if s.owner and s.name else None) for path, s in subjects.items()]
        self._once(named, "subject")
        for path, subject in subjects.items():
            self._department((*path, "owner"), subject.owner)
            self._once([((*path, "sensitive", i), name) for i, name in enumerate(subject.sensitive or ())], "field")
            if subject.schema_file is None:
                continue
            try:
                schema = find_schema(subject.schema_file)
            except SchemaError as error:
                self._add((*path, "schema"), error.message, error.remedy)
                continue
            if subject.owner and subject.name:
                self.schemas.setdefault(subject.id, schema)
            self._subject_fields(path, subject, schema)

    def _subject_fields(self, path: Path, subject: Subject, schema: Schema) -> None:
        for i, name in enumerate(subject.sensitive or ()):
            self._field((*path, "sensitive", i), name, schema)
        for name, how in (subject.rounded or {}).items():
            if self._field((*path, "rounded", name), name, schema) and (wrong := fault(schema.fields[name], how)):
                self._add((*path, "rounded", name), wrong, "correct it, or take it out")
        entity = subject.entity.field if subject.entity else None
        if entity is not None and self._field((*path, "entity", "field"), entity, schema):
            field = schema.fields[entity]
            if field.solid.kind != "string" or field.nullable:
                message = f"entity field '{entity}' is not a string, or can be null: it is the records' key"
                self._add((*path, "entity", "field"), message, "make it a plain string in the schema")
        self._key((*path, "key"), subject.key or (), entity, schema)

    def _key(self, path: Path, fields: tuple[str, ...], entity: str | None, schema: Schema) -> None:
        self._once([((*path, i), name) for i, name in enumerate(fields)], "field")
        for i, name in enumerate(fields):
            if self._field((*path, i), name, schema) and (wrong := key.fault(schema.fields[name])):
                self._add((*path, i), wrong, "name fields that are never null: texts, whole numbers, days, times")
        if fields and entity is not None and entity not in fields:
            message = f"the key lacks the entity's field '{entity}': records of different entities have no order"
            self._add(path, message, f"add {entity}: a row that goes to another entity is deleted, and a new one comes")

    def _field(self, path: Path, name: str, schema: Schema) -> bool:
        known = name in schema.fields
        if not known:
            self._add(path, f"field '{name}' is not in the schema {schema.name}", nearest(name, schema.fields))
        return known

    def _grants(self, grants: Mapping[Path, Grant]) -> None:
        self._once([((*path, "id"), g.id) for path, g in grants.items()], "grant")
        for path, grant in grants.items():
            self._department((*path, "reader"), grant.reader)
            self._period(path, grant)
            self._grant_subject(path, grant)
            self._grant_fields(path, grant, self.schemas.get(grant.subject or ""))
        self._overlaps(grants)

    def _period(self, path: Path, grant: Grant) -> None:
        if not grant.from_ or not grant.until:
            return
        if grant.until < grant.from_:
            self._add((*path, "until"), f"ends before it begins on {grant.from_}", "exchange the two days")
        elif grant.until < self._today:
            message = f"the grant expired on {grant.until}: it delivers nothing"
            self._add((*path, "until"), message, "renew it with a new review, or remove it", "warning")

    def _grant_subject(self, path: Path, grant: Grant) -> None:
        if not grant.subject:
            return
        subject = self._by_id.get(grant.subject)
        if subject is None:
            message = f"subject '{grant.subject}' is not in this contract"
            self._add((*path, "subject"), message, nearest(grant.subject, self._by_id))
            return
        if subject.share == "closed":
            self._add((*path, "subject"), f"subject '{grant.subject}' is closed", "no grant is possible: remove it")
        if grant.reader and grant.reader == subject.owner:
            self._add((*path, "reader"), "the reader owns the subject", "an owner needs no grant: remove it")

    def _grant_fields(self, path: Path, grant: Grant, schema: Schema | None) -> None:
        if isinstance(grant.fields, tuple):
            self._fields(path, grant.fields, schema)
        if schema:
            self._where((*path, "where"), grant.where or {}, schema)
            self._masks((*path, "masks"), grant.masks or {}, grant.fields, schema)
            self._hidden(path, grant, schema)

    def _hidden(self, path: Path, grant: Grant, schema: Schema) -> None:
        """Say what it means that the reader cannot tell rows apart by the subject's key."""
        subject = self._by_id.get(grant.subject or "")
        if subject is None or not grant.fields or not (lacking := key.hidden(subject, grant, list(schema.fields))):
            return
        message = f"does not give {', '.join(lacking)} of the key in clear: each row comes with a handle instead"
        self._add(path, message, "the reader's sink tells rows apart by it, in column _row", "note")

    def _where(self, path: Path, where: Where, schema: Schema) -> None:
        for name, part in where.items():
            place: Path = (*path, name)
            if name in GROUPS:
                self._group(place, name, part, schema)
            elif not isinstance(part, Condition):
                self._add(place, f"what field '{name}' must be is not a condition", "give one, such as `eq: …`")
            elif self._field(place, name, schema):
                for operator, message, remedy in faults(part, schema.fields[name]):
                    self._add((*place, operator) if operator else place, message, remedy)

    def _group(self, path: Path, word: str, part: object, schema: Schema) -> None:
        wheres = {(*path, i): w for i, w in enumerate(part)} if isinstance(part, tuple) else {path: part}
        if isinstance(part, tuple) == (word == "not") or any(isinstance(w, Condition) for w in wheres.values()):
            form = "conditions by field" if word == "not" else "a list of conditions by field"
            self._add(path, f"'{word}' has {form}, this is not", "such as `{year: {ge: 2024}}`")
            return
        if not wheres:
            self._add(path, f"'{word}' has no condition", "give one, or remove it")
        for place, where in wheres.items():
            if not where:
                self._add(place, "there is no condition", "give one, or remove it")
            self._where(place, where, schema)  # type: ignore[arg-type]

    def _masks(self, path: Path, masks: Mapping[str, Mask], fields: object, schema: Schema) -> None:
        for name, mask in masks.items():
            place: Path = (*path, name)
            if isinstance(fields, tuple) and name not in fields:
                self._add(place, f"field '{name}' is masked, but not given", "name it in `fields`, or remove the mask")
            elif self._field(place, name, schema):
                for message, remedy in mask_faults(mask, schema.fields[name]):
                    self._add(place, message, remedy)

    def _fields(self, path: Path, fields: tuple[str, ...], schema: Schema | None) -> None:
        if not fields:
            self._add((*path, "fields"), "the grant gives no field", "name at least one, or write `all`")
        seen: Counter[str] = Counter()
        for i, name in enumerate(fields):
            seen[name] += 1
            if seen[name] == 2:
                self._add((*path, "fields", i), f"field '{name}' is given twice", "remove one of them")
            elif schema and seen[name] == 1:
                self._field((*path, "fields", i), name, schema)

    def _overlaps(self, grants: Mapping[Path, Grant]) -> None:
        """Report grants that overlap: on any day, only one grant per subject and reader may be in force."""
        pairs: dict[tuple[str, str], list[tuple[date, date, str, Path]]] = {}
        for path, g in grants.items():
            if g.subject and g.reader and g.id and g.from_ and g.until and g.from_ <= g.until:
                pairs.setdefault((g.subject, g.reader), []).append((g.from_, g.until, g.id, path))
        for periods in pairs.values():
            periods.sort()
            last = periods[0]
            for period in periods[1:]:
                if period[0] <= last[1]:
                    message = f"overlaps with grant '{last[2]}' of the same subject and reader, until {last[1]}"
                    self._add((*period[3], "from"), message, "join the two, or let this one begin later")
                last = max(last, period, key=lambda p: p[1])
