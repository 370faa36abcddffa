"""What each reader must hold, computed from the departments' own rows, and what it does hold.

Nothing here is shared with the router: filters are SQL over the source tables, and rows are
compared as sets of texts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from hashlib import blake2b
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from exchange.city.make import Manifest, offices
from exchange.city.office import Desk, Office, read
from exchange.connect.database import Paths, engine, translated
from exchange.contract.load import Loaded
from exchange.contract.model import Condition, Grant
from exchange.contract.period import in_force
from exchange.schema.avro import Field

_PAGE_ROWS = 5_000

# How an office's own form of a nested field is read.
_NESTED: Mapping[tuple[str, str], Callable[[str], Any]] = {
    ("civil-affairs.assistance", "members"): json.loads,
    ("market.company", "shareholders"): json.loads,
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


@dataclass(frozen=True)
class Tally:
    """A multiset of rows as its size and the sum of the rows' hashes, so that no order matters."""

    rows: int = 0
    digest: int = 0

    @classmethod
    def of(cls, rows: Iterable[Sequence[Any]]) -> Tally:
        """Count and hash the rows."""
        count = total = 0
        for row in rows:
            count += 1
            total += int.from_bytes(blake2b(repr(row).encode(), digest_size=16).digest(), "big")
        return cls(count, total % 2**128)


@dataclass(frozen=True)
class Verdict:
    """Whether one reader holds what its grant allows, no more and no less."""

    grant: Grant
    expected: Tally
    held: Tally

    @property
    def right(self) -> bool:
        """True where both are equal, row by row."""
        return self.expected == self.held


def verdicts(loaded: Loaded, connectors: Path, home: Path, manifest: Manifest, now: datetime) -> Iterator[Verdict]:
    """One verdict for each grant in force, in the contract's order."""
    found = offices(loaded, connectors, home)
    for grant in in_force(loaded.contract, now):
        office = next(o for o in found if grant.subject in o.desks)
        schema = loaded.schemas[grant.subject]
        names = list(schema.fields) if grant.fields == "all" else [n for n in schema.fields if n in grant.fields]
        fields = [schema.fields[name] for name in names]
        bad = manifest.registers[grant.subject].bad
        yield Verdict(
            grant,
            Tally.of(_due(office, office.desks[grant.subject], grant, fields, bad)),
            Tally.of(_held(connectors, home, grant, fields)),
        )


def _due(
    office: Office, desk: Desk, grant: Grant, fields: Sequence[Field], bad: Sequence[int]
) -> Iterator[tuple[Any, ...]]:
    columns = desk.table.c
    query = sa.select(*(columns[field.name] for field in fields)).where(columns.id.not_in(bad))
    for name, condition in grant.where.items():
        query = query.where(*_clauses(columns[name], condition))
    forms = [_form(field, _NESTED.get((desk.subject, field.name))) for field in fields]
    yield from _rows(office.engine, query, forms)


def _clauses(column: sa.ColumnElement[Any], condition: Condition) -> Iterator[sa.ColumnElement[bool]]:
    for operator, value in condition.operators().items():
        typed = _as_dates(value) if isinstance(column.type, sa.Date) and operator != "is_null" else value
        yield _OPERATORS[operator](column, typed)


def _as_dates(value: Any) -> Any:
    return date.fromisoformat(value) if isinstance(value, str) else [date.fromisoformat(v) for v in value]


def _held(connectors: Path, home: Path, grant: Grant, fields: Sequence[Field]) -> Iterator[tuple[Any, ...]]:
    config = read(connectors / grant.reader / "connector.yaml")
    sink = next((sink for sink in config.sinks if sink.subject == grant.subject), None)
    database = (sink and sink.database) or config.database
    if sink is None or database is None:
        return
    made = engine(database, Paths(connectors / grant.reader, home))
    schema, _, name = sink.table_name.rpartition(".")
    try:
        with translated(f"{grant.reader}: {grant.subject}"):
            if not sa.inspect(made).has_table(name, schema=schema or None):
                return
        table = sa.table(name, *(sa.column(field.name) for field in fields), schema=schema or None)
        yield from _rows(made, sa.select(*table.c), [_form(field, None) for field in fields])
    finally:
        made.dispose()


def _rows(made: sa.Engine, query: sa.Select[Any], forms: Sequence[Callable[[Any], Any]]) -> Iterator[tuple[Any, ...]]:
    with made.connect().execution_options(stream_results=True, yield_per=_PAGE_ROWS) as connection:
        for row in connection.execute(query):
            yield tuple(form(value) if value is not None else None for form, value in zip(forms, row, strict=True))


def _form(field: Field, own: Callable[[str], Any] | None) -> Callable[[Any], Any]:
    """How a value of the field is written, whatever the database gave it as."""
    if field.base in ("array", "map", "record"):
        decode = own or json.loads
        return lambda v: json.dumps(decode(v) if isinstance(v, str) else v, sort_keys=True, ensure_ascii=False)
    if field.logical == "decimal":
        return lambda v: f"{Decimal(str(v)):.2f}"
    if field.logical == "date":
        return lambda v: str(v)[:10]
    if field.logical == "timestamp-millis":
        return _instant
    forms: Mapping[str, Callable[[Any], Any]] = {"boolean": bool, "int": int, "long": int, "double": float}
    return forms.get(field.base, str)


def _instant(value: Any) -> int:
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
