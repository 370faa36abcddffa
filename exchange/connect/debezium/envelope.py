"""Turns a message in Debezium's envelope into rows; no I/O.

An envelope has `op` (c, r, u: a row; d: a deletion; t: TRUNCATE), `before` and `after`. With the JsonConverter's
schemas it is the `payload` beside its `schema`. What else it has (`source`, `transaction`, times) is not needed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from decimal import Decimal
from typing import Any

from exchange.connect.coerce import RowRejectedError
from exchange.connect.debezium.encodings import Convert, declared, described, unavailable
from exchange.connect.debezium.topic_config import Debezium
from exchange.connect.source import Bad, Deleted, Row
from exchange.errors import RecordError

Change = list[Row | Deleted | Bad]
_FULL = "REPLICA IDENTITY FULL (or what the database calls it) makes the log say it"


class Envelope:
    """Reads the messages of one table.

    `name` names a row by the subject's key; `key` are its columns (None: a transform makes them of any). `columns` are
    those to be taken (None: all), `required` must be in each row. In `numbers`, text without a schema is rejected
    unless connector.yaml declares how it is written: base64 can look like a number.
    """

    def __init__(
        self,
        config: Debezium,
        name: Callable[[Row], bytes | None],
        key: Collection[str] | None,
        columns: Collection[str] | None,
        required: Collection[str],
        numbers: Collection[str],
    ) -> None:
        self._name = name
        self._key = key
        self._columns = None if columns is None or key is None else {*columns, *key}
        self._required = {*required, *(key or ())}
        self._declared = {column: declared(how) for column, how in config.types.items()}
        self._undeclared = {*numbers} - config.types.keys()
        self._is_unavailable = unavailable(config.placeholder)
        self._known: dict[str, tuple[Any, Mapping[str, Convert]]] = {}  # by part of the message: schema and conversions

    def change(self, key: bytes | None, value: bytes | None) -> Change | None:
        """The rows that a message gives, oldest first; None if it says that the table was emptied."""
        if value is None:
            return []  # a tombstone: the deletion before it said it all
        try:
            message, schema = _opened(value)
            if not isinstance(message, Mapping):
                raise RowRejectedError("not an envelope of Debezium's")
            if "op" not in message:
                if message.keys() >= {"status", "id"}:
                    return []  # where a transaction begins or ends
                raise RowRejectedError("no `op`: not an envelope of Debezium's, or unwrapped (ExtractNewRecordState)")
            return self._of(str(message["op"]), message, schema, key)
        except RecordError as error:
            return [Bad(error.message)]

    def _of(self, op: str, message: Mapping[str, Any], schema: Any, key: bytes | None) -> Change | None:
        match op:
            case "c" | "r":
                return [self._after(message, schema)]
            case "u":
                after = self._after(message, schema)
                return [*self._replaced(message, schema, key, after), after]
            case "d":
                before = self._before(message, schema)
                row = before | self._of_key(key, before)
                if not self._names(row):
                    raise RowRejectedError(f"a deletion that does not name its row; {_FULL}")
                return [Deleted(row)]
            case "t":
                return None
            case "m":
                return []  # a message in the log, not a row
        raise RowRejectedError("an operation that Debezium does not have")

    def _after(self, message: Mapping[str, Any], schema: Any) -> dict[str, Any]:
        row = message.get("after")
        if not isinstance(row, Mapping):
            raise RowRejectedError("a row without `after`")
        if missing := sorted(self._required - row.keys()):
            raise RowRejectedError(f"no column {', '.join(missing)}")
        wanted = {name: value for name, value in row.items() if self._columns is None or name in self._columns}
        for name, value in wanted.items():
            if self._is_unavailable(value):
                raise RowRejectedError(f"{name}: not in the database's log, because it did not change; {_FULL}")
        return self._converted(wanted, "after", schema)

    def _before(self, message: Mapping[str, Any], schema: Any) -> dict[str, Any]:
        """What the message has of the row before: nulls, and what the log does not have, are left out."""
        row = message.get("before")
        if not isinstance(row, Mapping):
            return {}
        there = {
            name: value
            for name, value in row.items()
            if (self._columns is None or name in self._columns)
            and not (self._is_unavailable(value) or (value is None and name in (self._key or ())))
        }
        return self._converted(there, "before", schema)

    def _names(self, row: Row) -> bool:
        """Whether it has what names a row: a field of the key must not take its default."""
        return bool(row) if self._key is None else row.keys() >= set(self._key)

    def _of_key(self, key: bytes | None, before: Row) -> dict[str, Any]:
        """Columns of the subject's key that only the record's own key has."""
        wanted = {*(self._key or ())} - before.keys()
        if not wanted or key is None:
            return {}
        row, of_key = _opened(key)
        there = {name: value for name, value in row.items() if name in wanted} if isinstance(row, Mapping) else {}
        return self._converted(there, "key", {"fields": [{**of_key, "field": "key"}]} if of_key else None)

    def _replaced(self, message: Mapping[str, Any], schema: Any, key: bytes | None, after: Row) -> Change:
        """The row that an update took the place of, if its key was another one."""
        before = self._before(message, schema)
        if self._names(before):
            old = self._name(before)
            return [Deleted(before)] if old is not None and old != self._name(after) else []
        own = _opened(key)[0] if key is not None else None
        if self._key is not None and isinstance(own, Mapping) and own.keys() >= set(self._key):
            return []  # the record's key has it: if that changes, Debezium writes a deletion
        raise RowRejectedError(f"an update without the key that the row had before; {_FULL}")

    def _converted(self, row: Mapping[str, Any], part: str, schema: Any) -> dict[str, Any]:
        converts = self._declared if schema is None else self._described(part, schema)
        made = {}
        for name, value in row.items():
            if schema is None and type(value) is str and name in self._undeclared:
                raise RowRejectedError(f"{name}: text for a number: say under `types` how it is written")
            try:
                made[name] = converts[name](value) if name in converts else value
            except RowRejectedError as error:
                raise RowRejectedError(f"{name}: {error.message}") from None
        return made

    def _described(self, part: str, schema: Any) -> Mapping[str, Convert]:
        """The conversions of the columns by that part of the message's schema; it is most often the last one again."""
        known = self._known.get(part)
        if known is None or known[0] != schema:
            try:
                struct = next(each for each in schema["fields"] if each["field"] == part)
                found = {each["field"]: described(each) for each in struct["fields"]}
            except (KeyError, TypeError, ValueError, AttributeError, StopIteration):
                raise RowRejectedError("a schema that is not Kafka Connect's") from None
            known = self._known[part] = (schema, found)
        return known[1]


def _opened(data: bytes) -> tuple[Any, Any]:
    """The payload, and its schema, if it has one; numbers with decimals keep all their digits."""
    try:
        value = json.loads(data.decode(), parse_float=Decimal, parse_constant=_refused)
    except (ValueError, ArithmeticError, RecursionError):
        raise RowRejectedError("not JSON") from None
    if isinstance(value, dict) and value.keys() == {"schema", "payload"}:
        return value["payload"], value["schema"]
    return value, None


def _refused(_: str) -> Any:
    raise ValueError
