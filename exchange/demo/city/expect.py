"""What each reader must hold now, computed from the departments' own rows, and what it does hold.

Nothing here is shared with the router: filters are SQL over the source tables, masks work on texts, and rows are
compared as multisets of texts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from exchange.connect.database import Paths, engine, translated
from exchange.connect.load import load
from exchange.contract.load import Loaded
from exchange.contract.model import Grant
from exchange.contract.period import in_force
from exchange.contract.terms import Condition, Mask, Where
from exchange.demo.city.make import Manifest, Tally, offices
from exchange.errors import ConfigError
from exchange.schema.types import Field

_PAGE_ROWS = 5_000
Form = Callable[[Any], Any]
"""Turns a value into the form in which it is compared."""

# How to read an office's own form of a nested field, if it is not JSON.
_NESTED: Mapping[tuple[str, str], Callable[[str], Any]] = {
    ("credit.rating", "reasons"): lambda text: text.split(";") if text else [],
}
_OPERATORS: Mapping[str, Callable[[Any, Any], sa.ColumnElement[bool]]] = {
    "eq": lambda column, value: column == value,
    "ne": lambda column, value: column != value,
    "in": lambda column, value: column.in_(value),
    "prefix": lambda column, value: column.startswith(value, autoescape=True),
    "ge": lambda column, value: column >= value,
    "gt": lambda column, value: column > value,
    "le": lambda column, value: column <= value,
    "lt": lambda column, value: column < value,
    "is_null": lambda column, value: column.is_(None) if value else column.is_not(None),
}


class ReaderWithoutSinkError(ConfigError):
    """A grant's reader has no sink for what it gets."""

    code = "reader-without-sink"
    remedy = "add a sink to the reader's connector"


@dataclass(frozen=True)
class Verdict:
    """Whether one reader holds what its grant allows, no more and no less."""

    grant: Grant
    expected: Tally
    held: Tally

    @property
    def right(self) -> bool:
        """Whether both are equal, row by row."""
        return self.expected == self.held


class Expectations:
    """What the grants in force allow, and what the readers' databases hold.

    `ended` are grants that ended, each with what its reader had to hold then.
    """

    def __init__(
        self,
        loaded: Loaded,
        connectors: Path,
        home: Path,
        manifest: Manifest,
        now: datetime,
        pseudonym_key: bytes = b"",
        ended: Sequence[tuple[Grant, Tally]] = (),
    ) -> None:
        self._rotation = {d.id: d.pseudonym_rotation for d in loaded.contract.departments}
        self._pseudonym_key = pseudonym_key
        self._ended = {grant.id: _after_the_end(loaded, grant, held) for grant, held in ended}
        self.grants = [*in_force(loaded.contract, now), *(grant for grant, _ in ended)]
        self._schemas = loaded.schemas
        self._sinks = {grant.id: _sink(connectors, home, grant) for grant in self.grants}
        self._manifest = manifest
        self._desks = {d.subject: (o, d) for o in offices(loaded, connectors, home) for d in o.desks.values()}

    def exchanged_by_cases(self) -> int:
        """The number of questions and answers of cases that departments have published."""
        subjects = self._desks.keys() - self._manifest.registers.keys()
        return sum(office.rows(desk) or 0 for office, desk in map(self._desks.__getitem__, subjects))

    def due_rows(self, grant: Grant) -> int:
        """The number of rows that the reader must come to hold."""
        if grant.id in self._ended:
            return self._ended[grant.id].rows
        office, _ = self._desks[grant.subject]
        query = sa.select(sa.func.count()).select_from(self._due(grant).subquery())
        with translated(f"{office.department}: {grant.subject}"), office.engine.connect() as connection:
            return connection.execute(query).scalar_one()

    def held_rows(self, grant: Grant) -> int:
        """The number of rows that the reader holds now."""
        made, table = self._table(grant)
        if table is None:
            return 0
        with translated(f"{grant.reader}: {grant.subject}"), made.connect() as connection:
            return connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()

    def verdict(self, grant: Grant) -> Verdict:
        """Compare what the reader must hold with what it holds, row by row."""
        office, desk = self._desks[grant.subject]
        fields = self._fields(grant)
        zone = ZoneInfo(desk.timezone)
        forms = [
            self._masked(grant, field.name, _form(field, zone, _NESTED.get((desk.subject, field.name), json.loads)))
            for field in fields
        ]
        due = self._ended.get(grant.id) or _tally(_rows(office.engine, self._due(grant), forms))
        made, table = self._table(grant)
        if table is None:
            return Verdict(grant, due, Tally())
        forms = [str if field.name in grant.masks else _form(field, UTC) for field in fields]
        forms = [_or_none(form) for form in forms]
        return Verdict(grant, due, _tally(_rows(made, sa.select(*table.c), forms)))

    def _masked(self, grant: Grant, name: str, form: Form) -> Form:
        """The form of a field as the grant gives it, made from the office's own values."""
        mask = grant.masks.get(name)
        if mask is None:
            return _or_none(form)
        if mask.kind == "redact":
            return lambda _: "***"
        if mask.kind == "null":
            return lambda _: None
        if mask.kind == "pseudonym":
            ours = f"{grant.reader}/{self._rotation[grant.reader]}".encode()
            key = blake2b(ours, digest_size=32, key=self._pseudonym_key, person=b"exchange.reader\0").digest()
            secret = partial(blake2b, digest_size=16, key=key, person=b"exchange.pseudo\0")
            return _or_none(lambda value: secret(form(value).encode()).hexdigest())
        return _or_none(lambda value: _mask(mask, str(form(value))))

    def _fields(self, grant: Grant) -> list[Field]:
        fields = self._schemas[grant.subject].fields
        return [field for name, field in fields.items() if grant.fields == "all" or name in grant.fields]

    def _due(self, grant: Grant) -> sa.Select[Any]:
        desk = self._desks[grant.subject][1]
        table = desk.table
        held = self._manifest.registers.get(grant.subject)
        bad = held.bad if held else ()
        query = sa.select(*(table.c[field.name] for field in self._fields(grant))).where(table.c.id.not_in(bad))
        return query.where(desk.there(), _holds(table, grant.where))

    def _table(self, grant: Grant) -> tuple[sa.Engine, sa.TableClause | None]:
        """The reader's database and its table with the granted fields; None if there is no table yet."""
        made, table_name = self._sinks[grant.id]
        schema, _, name = table_name.rpartition(".")
        with translated(f"{grant.reader}: {grant.subject}"):
            if not sa.inspect(made).has_table(name, schema=schema or None):
                return made, None
        columns: Iterable[sa.ColumnClause[Any]] = (sa.column(field.name) for field in self._fields(grant))
        return made, sa.table(name, *columns, schema=schema or None)


def _tally(rows: Iterable[Sequence[Any]]) -> Tally:
    """Count and hash the rows."""
    count = total = 0
    for row in rows:
        count += 1
        total += int.from_bytes(blake2b(repr(row).encode(), digest_size=16).digest(), "big")
    return Tally(rows=count, digest=total % 2**128)


def _after_the_end(loaded: Loaded, grant: Grant, held: Tally) -> Tally:
    """What a reader must hold of a grant that has ended, given what it had to hold then."""
    after = grant.after or ("delete" if loaded.contract.subject(grant.subject).sensitive else "keep")
    return Tally() if after == "delete" else held


def _sink(connectors: Path, home: Path, grant: Grant) -> tuple[sa.Engine, str]:
    """The database and table into which the grant's reader takes what it gets."""
    connector = load(connectors, grant.reader)
    sink = next((sink for sink in connector.config.sinks if sink.subject == grant.subject), None)
    database = (sink and sink.database) or connector.config.database
    if sink is None or database is None:
        raise ReaderWithoutSinkError(
            f"{grant.reader} does not take in {grant.subject}", remedy=f"add a sink in {connector.folder}"
        )
    return engine(database, Paths(connector.folder, home)), sink.table_name


def _holds(table: sa.Table, where: Where) -> sa.ColumnElement[bool]:
    """The grant's conditions on the office's own table; a condition that is unknown because of a null does not hold."""
    clauses: list[sa.ColumnElement[bool]] = []
    for name, part in where.items():
        if isinstance(part, Condition):
            clauses += [sa.func.coalesce(clause, sa.false()) for clause in _clauses(table.c[name], part)]
        elif isinstance(part, tuple):
            joint = sa.or_ if name == "any" else sa.and_
            clauses.append(joint(*(_holds(table, each) for each in part)))
        else:
            clauses.append(sa.not_(_holds(table, part)))
    return sa.and_(sa.true(), *clauses)


def _clauses(column: sa.ColumnElement[Any], condition: Condition) -> Iterator[sa.ColumnElement[bool]]:
    for operator, value in condition.operators().items():
        typed = _as_dates(value) if isinstance(column.type, sa.Date) and operator != "is_null" else value
        yield _OPERATORS[operator](column, typed)


def _as_dates(value: Any) -> Any:
    return date.fromisoformat(value) if isinstance(value, str) else [date.fromisoformat(v) for v in value]


def _rows(made: sa.Engine, query: sa.Select[Any], forms: Sequence[Form]) -> Iterator[tuple[Any, ...]]:
    with made.connect().execution_options(stream_results=True, yield_per=_PAGE_ROWS) as connection:
        for row in connection.execute(query):
            yield tuple(form(value) for form, value in zip(forms, row, strict=True))


def _or_none(form: Form) -> Form:
    return lambda value: None if value is None else form(value)


def _mask(mask: Mask, text: str) -> str:
    """A value's text as the masks year, month, range and partial give it."""
    if mask.kind == "year":
        return str(int(text[:4]))
    if mask.kind == "month":
        return text[:7]
    if mask.kind == "range":
        bounds = [Decimal(str(bound)) for bound in mask.bounds]
        return mask.labels()[sum(Decimal(text) >= bound for bound in bounds)]
    hidden = max(0, len(text) - mask.first - mask.last)
    return text[: mask.first] + "*" * hidden + text[len(text) - mask.last :] if hidden else "*" * len(text)


def _form(field: Field, zone: tzinfo, own: Callable[[str], Any] = json.loads) -> Form:
    """Writes a value of the field in one form, however the database returned it; times without a zone are in `zone`."""
    if field.solid.kind in ("array", "map", "record"):
        return lambda v: json.dumps(own(v) if isinstance(v, str) else v, sort_keys=True, ensure_ascii=False)
    if field.solid.means == "decimal":
        return lambda v: f"{Decimal(str(v)):.2f}"
    if field.solid.means == "date":
        return lambda v: str(v)[:10]
    if field.solid.means == "timestamp-millis":
        return lambda v: _instant(v, zone)
    forms: Mapping[str, Form] = {"boolean": bool, "int": int, "long": int, "double": float}
    return forms.get(field.solid.kind, str)


def _instant(value: Any, zone: tzinfo) -> int:
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return round((moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp() * 1000)
