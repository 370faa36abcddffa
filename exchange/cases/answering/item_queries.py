"""Runs an item's queries for one question: the name that belongs to the number, how old the data are, the values."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from exchange.cases.answering.answer_store import AnswerStore, ReceivedQuestion
from exchange.cases.answering.items import FIXED, AnsweredItem
from exchange.cases.events import json_object
from exchange.cases.shapes import EXACT_DIGITS, WrongShapeError, json_value
from exchange.connect.database import translated
from exchange.connect.query import with_parameters
from exchange.contract.period import city_day
from exchange.errors import ConfigError

MOST_ROWS = 100  # names that one number has, at most
# A whole part with a leading zero is a code, such as that of a region, and no number.
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?", re.ASCII)


class UnanswerableError(ConfigError):
    """A question and the queries of its item do not fit each other."""

    code = "answer-query"
    remedy = "correct the item's queries in `answers` of connector.yaml, or have the asker ask again"


class ItemQueries:
    """The queries of one item, each a SELECT of its own that may take as long as the database's `timeout_s` allows."""

    def __init__(self, store: AnswerStore, item: AnsweredItem) -> None:
        self._store = store
        self._item = item
        self._statements = {key: with_parameters(query) for key, query in item.queries.items()}
        self._parameters = {key: tuple(query.compile().params) for key, query in self._statements.items()}
        self._day: tuple[date | None] | None = None

    def begin(self) -> None:
        """Begin a pass: the day of the data, if it is the same for all questions, is looked up once in each."""
        self._day = None

    def parameters(self, key: str) -> tuple[str, ...]:
        """The names of the parameters of that query."""
        return self._parameters[key]

    def columns(self, key: str) -> list[str]:
        """The columns that the query gives, for a party and parameters that nobody has."""
        columns, _ = self._run(key, dict.fromkeys(self.parameters(key)), 1)
        return columns

    def names(self, question: ReceivedQuestion) -> list[Any]:
        """The names that belong to the question's number; none if the number is not known."""
        rows = self._rows("person", question, MOST_ROWS)
        if any(len(row) != 1 for row in rows):
            raise UnanswerableError(f"`person` of {self._item} gives more than one column")
        return [name for row in rows for name in row.values()]

    def data_as_of(self, question: ReceivedQuestion) -> date | None:
        """The day of the data, if the item says how to find it; they may be newer, and never are older."""
        if self._day is None or self._parameters.get("as_of"):
            self._day = (self._looked_up_day(question),)
        return self._day[0]

    def _looked_up_day(self, question: ReceivedQuestion) -> date | None:
        rows = self._rows("as_of", question, 2) if "as_of" in self._statements else []
        if not rows:
            return None
        if len(rows) > 1 or len(rows[0]) != 1:
            raise UnanswerableError(f"`as_of` of {self._item} gives more than one value")
        [found] = rows[0].values()
        try:
            return _day(found)
        except ValueError:
            raise UnanswerableError(f"`as_of` of {self._item} gives no day") from None

    def content(self, question: ReceivedQuestion) -> str | None:
        """The values as JSON; None if nothing was found: no row, or nothing but NULL and counts of 0."""
        rows = self._rows("query", question, 2)
        if len(rows) > 1:
            raise UnanswerableError(f"`query` of {self._item} gives more than one row")
        if rows and (missing := [name for name in self._item.answer if name not in rows[0]]):
            raise UnanswerableError(f"`query` of {self._item} gives no column {', '.join(missing)}")
        if not rows or all(self._says_nothing(name, rows[0][name]) for name in self._item.answer):
            return None
        return content_of(self._item, rows[0])

    def _says_nothing(self, name: str, value: Any) -> bool:
        return value is None or (self._item.answer[name].shape == "count" and value == 0)

    def _rows(self, key: str, question: ReceivedQuestion, at_most: int) -> list[dict[str, Any]]:
        columns, rows = self._run(key, self._values(key, question), at_most)
        return [dict(zip(columns, row, strict=True)) for row in rows]

    def _run(self, key: str, values: Mapping[str, Any], at_most: int) -> tuple[list[str], list[Sequence[Any]]]:
        """The columns and the first rows. As a subquery the statement can only read, whatever it says."""
        found = self._statements[key].bindparams(**values).columns().subquery("found")
        query = sa.select(sa.text("*")).select_from(found).limit(at_most)
        store = self._store
        with (
            translated(f"{key} of {self._item}"),
            store.engine.connect() as connection,
            store.dialect.in_time(connection, store.timeout_s),  # SQLite computes rows while they are fetched
        ):
            result = connection.execute(query)
            return list(result.keys()), list(result)

    def _values(self, key: str, question: ReceivedQuestion) -> dict[str, Any]:
        """What the query's parameters are for this question.

        A parameter without a value is refused: compared with NULL, nothing is found, and that is no answer.
        """
        given = {name: getattr(question, name) for name in FIXED}
        if self._item.parameters:
            own = _own_parameters(question.parameters)
            given |= {name: _bound(own.get(name), self._store.dialect.name) for name in self._item.parameters}
        values = {name: given.get(name) for name in self.parameters(key)}
        if missing := [name for name, value in values.items() if value is None]:
            raise UnanswerableError(f"`{key}` of {self._item} needs {', '.join(missing)}, which the question lacks")
        return values


def content_of(item: AnsweredItem, given: Mapping[str, Any]) -> str:
    """The values that the item declares, as JSON; WrongShapeError names the one that does not fit."""
    content = {}
    for name, shape in item.answer.items():
        try:
            content[name] = json_value(shape, given[name])
        except WrongShapeError as error:
            raise WrongShapeError(f"{name} of {item}: {error.message}") from None
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def _own_parameters(text: str) -> Mapping[str, Any]:
    found = json_object(text)
    if found is None:
        raise UnanswerableError("the question's `parameters` are no JSON object")
    return found


def _bound(value: Any, database: str) -> Any:
    """The parameter as the driver takes it. SQLite has no decimals: its numbers keep so many digits."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = Decimal(value)
    if isinstance(value, int) and not isinstance(value, bool):
        value = Decimal(value)
    if not isinstance(value, Decimal):
        return value if isinstance(value, str | bool) else None
    if database != "sqlite":
        return value
    if len(value.as_tuple().digits) > EXACT_DIGITS:
        raise UnanswerableError(f"a parameter of the question has more than {EXACT_DIGITS} digits")
    return int(value) if value == int(value) else float(value)


def _day(found: Any) -> date | None:
    if isinstance(found, str):
        found = datetime.fromisoformat(found)
    if isinstance(found, datetime):
        return city_day(found) if found.tzinfo else found.date()
    if found is None or isinstance(found, date):
        return found
    raise ValueError
