"""What a source selects from: its table, or the SELECT in its file, as people write it."""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from typing import Any

from sqlalchemy import FromClause, Select, Text, TextClause, bindparam, cast, column, select, table, text
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.types import NullType

from exchange.connect.config import SourceConfig
from exchange.connect.database import DatabaseConfigError
from exchange.connect.dialects import known as dialects

RAW = NullType()  # values as the driver returns and accepts them: SQLAlchemy would round SQLite's decimals
SURROGATE = re.compile("[\ud800-\udfff]")
# Tokens that may contain anything: texts, names, PostgreSQL's $tag$ texts, comments. An unclosed quote takes the rest.
_PART = re.compile(
    r"""(?P<comment>--[^\n]*|/\*)
    |   [eE]'(?:[^'\\]|\\.|'')*(?:'|\Z)
    |   '(?:[^']|'')*(?:'|\Z)
    |   "(?:[^"]|"")*(?:"|\Z)
    |   `[^`]*(?:`|\Z)
    |   (?<!\w)(?P<tag>\$(?:[^\W\d]\w*)?\$)(?:.*?)(?:(?P=tag)|\Z)
    |   (?P<parameter>(?<![\w$])\$\d+)
    |   (?P<end>;)
    |   \s+
    |   \w+
    |   .""",
    re.VERBOSE | re.DOTALL,
)


def origin(config: SourceConfig, names: Sequence[str]) -> FromClause:
    """The table or query with these columns, as something to select from."""
    if config.query is not None:
        return text(_literal(one_select(config.query))).columns(*(column(name) for name in names)).subquery("origin")
    assert config.table is not None
    schema, _, name = config.table.rpartition(".")
    return table(name, *(column(c) for c in names), schema=schema or None)


def columns_of(engine: Engine, config: SourceConfig) -> list[str]:
    """The columns of the table or query; raises DatabaseConfigError if two have one name."""
    query = select(text("*")).select_from(origin(config, ())).limit(0)
    with engine.connect() as connection:
        names = list(connection.execute(query).keys())
    if len(set(names)) < len(names):
        raise DatabaseConfigError("two columns of the query have one name", remedy="name them with AS")
    return names


def one_select(query: str) -> str:
    r"""The query without comments and final semicolons; raises DatabaseConfigError if it is not one statement.

    >>> one_select("SELECT ':a; --' AS b, 1::int -- done\n ; ;\n-- really")
    "SELECT ':a; --' AS b, 1::int"
    """
    parts: list[str] = []
    ended = False
    at = 0
    while at < len(query):
        found = _PART.match(query, at)
        assert found is not None
        at = found.end()
        if found["comment"] == "/*":
            at = _end_of_comment(query, at)
        if found["comment"] is not None:
            parts.append(" ")
        elif found["parameter"] is not None:
            raise DatabaseConfigError("`query` has a parameter that nobody fills", remedy="write $1 in quotes only")
        elif found["end"] is not None:
            ended = bool("".join(parts).strip())
        elif ended and not found[0].isspace():
            raise DatabaseConfigError(
                "`query` has more than one statement", remedy="give one SELECT; what it needs goes into WITH"
            )
        else:
            parts.append(found[0])
    if not (select := "".join(parts).strip()):
        raise DatabaseConfigError("`query` is empty", remedy="give one SELECT")
    return select


def with_parameters(query: str) -> TextClause:
    r"""The SELECT with its `:names` as parameters; raises DatabaseConfigError if it is not one statement.

    >>> str(with_parameters("SELECT ':a', b::text FROM t WHERE c < :limit::numeric -- :d"))
    "SELECT ':a', b ::text FROM t WHERE c < :limit ::numeric"
    """
    return text(_PART.sub(_marked, one_select(query)))


def _marked(part: re.Match[str]) -> str:
    """The part, so that SQLAlchemy takes each `:name` outside of quotes for a parameter, and nothing else."""
    said, before, after = part[0], part.string[: part.start()][-1:], part.string[part.end() :][:1]
    if said == ":" and (after.isalpha() or after == "_") and before != ":" and not _is_of_word(before):
        return said
    if after == ":" and _is_of_word(said[-1]):
        return f"{said} "  # SQLAlchemy finds no parameter that a colon follows
    return _literal(said)


def _is_of_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _end_of_comment(query: str, at: int) -> int:
    """The end of a comment whose `/*` ends at `at`; comments nest, as in PostgreSQL."""
    depth = 1
    for mark in re.compile(r"/\*|\*/").finditer(query, at):
        depth += 1 if mark[0] == "/*" else -1
        if depth == 0:
            return mark.end()
    return len(query)


def _literal(sql: str) -> str:
    """The SQL, escaped so that SQLAlchemy takes no `:word` in it for a parameter."""
    return sql.replace(":", r"\:")


def bind(value: Any) -> ColumnElement[Any]:
    """The value as a parameter, as the driver takes it."""
    if isinstance(value, str) and not value.isascii() and SURROGATE.search(value):
        # SQLite's text that is not UTF-8, see `database.engine`.
        return cast(bindparam(None, value.encode("utf-8", "surrogateescape"), type_=RAW, unique=True), Text())
    return bindparam(None, value, type_=RAW, unique=True)


class SelectedColumns:
    """How columns of a table or query are selected without loss, and put in an order in which no row hides another."""

    def __init__(self, engine: Engine, config: SourceConfig, names: Sequence[str]) -> None:
        self._dialect = dialects.of(engine)
        rows = origin(config, names)
        with engine.connect() as connection:
            self._kinds = self._dialect.kinds(connection, select(*(rows.c[name] for name in names)))

    def value(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        """The column as it is selected."""
        return self._dialect.exact(column, self._kinds.get(column.key or ""))

    def order(self, *columns: ColumnElement[Any]) -> list[ColumnElement[Any]]:
        """What to order rows by."""
        return [self._dialect.ordered(column, self._kinds.get(column.key or "")) for column in columns]

    def after(self, columns: Sequence[ColumnElement[Any]], values: Sequence[Any]) -> ColumnElement[bool]:
        """The condition that rows come after one that has these values."""
        return self._dialect.after(self.order(*columns), self._place(columns, values))

    def within(
        self, columns: Sequence[ColumnElement[Any]], first: Sequence[Any], last: Sequence[Any]
    ) -> ColumnElement[bool]:
        """The condition that rows come from the first to the last of these values."""
        places = self._place(columns, first), self._place(columns, last)
        return self._dialect.within(self.order(*columns), *places)

    def _place(self, columns: Sequence[ColumnElement[Any]], values: Sequence[Any]) -> list[ColumnElement[Any]]:
        kinds = [self._kinds.get(column.key or "") for column in columns]
        return [bind(self._dialect.place(value, kind)) for value, kind in zip(values, kinds, strict=True)]


def stream(connection: Connection, query: Select[Any]) -> Generator[Sequence[Any], None, None]:
    """The rows of a query one by one, as they come from the database."""
    yield from dialects.of(connection.engine).stream(connection, query)


def about(connection: Connection, query: Select[Any]) -> int | None:
    """About how many rows a query gives, without reading them; None if the database cannot tell."""
    return dialects.of(connection.engine).about(connection, query)
