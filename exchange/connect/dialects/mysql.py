"""MySQL from 8.0.17 and MariaDB from 10.2, by PyMySQL; tables of InnoDB."""

from __future__ import annotations

import ssl
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from hashlib import blake2b
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Select, event
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.sql.elements import ColumnElement

from exchange.connect.dialects import mysql_types
from exchange.connect.dialects.dialect import Cautions, Columns, Dialect, spelt_after, spelt_within, statement
from exchange.connect.dialects.mysql_errors import LOCKED
from exchange.connect.postgres import LOCK_S
from exchange.connect.sink_values import Adapter, Type, or_null
from exchange.schema.types import Field

# What can stand behind the ? of a URL.
_OPTIONS = ("ssl_ca", "ssl_cert", "ssl_key", "ssl_check_hostname", "unix_socket")
_COLUMNS = sa.text(
    "SELECT column_name, column_type, is_nullable, collation_name, extra, ordinal_position"
    " FROM information_schema.columns WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name = :name"
    " ORDER BY ordinal_position"
)
_TABLE = sa.text(
    "SELECT engine, create_time FROM information_schema.tables"
    " WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name = :name"
)
_UNIQUE = sa.text(
    "SELECT index_name, column_name, sub_part FROM information_schema.statistics"
    " WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name = :name AND non_unique = 0"
    " ORDER BY index_name, seq_in_index"
)


class MySQL(Dialect):
    """MySQL and MariaDB. They commit when a table is made, and an upsert may hit any unique index."""

    name, title, drivername = "mysql", "MySQL and MariaDB", "mysql+pymysql"
    example, extra = "mysql://user@host/database", "mysql"
    longest_name, name_unit = 64, "characters"
    folds_names = True
    binds_plainly = True
    undoes_ddl = False

    def fault(self, url: URL) -> str | None:
        if not url.database:
            return "names no database"
        wrong = ", ".join(name for name in url.query if name not in _OPTIONS)
        if wrong:
            return f"has {wrong}, but behind its ? goes only {', '.join(_OPTIONS)}"
        ca, cert, key = (str(url.query[name]) if name in url.query else None for name in _OPTIONS[:3])
        try:
            context = ssl.create_default_context(cafile=ca)
            if cert:
                context.load_cert_chain(cert, key)
        except OSError as error:  # also what is wrong inside of them
            return f"names files for TLS that cannot be used ({error.strerror or error})"
        return None

    def engine(self, url: URL, timeout_s: float, *, writes: bool) -> Engine:
        from exchange.connect.dialects import mysql_session

        made = sa.create_engine(
            url,
            hide_parameters=True,
            pool_pre_ping=True,
            isolation_level="READ COMMITTED",
            connect_args=mysql_session.parameters(timeout_s),
        )

        @event.listens_for(made, "connect")
        def _prepare(connection: Any, _record: object) -> None:
            mysql_session.prepare(connection, timeout_s, writes=writes)

        return made

    def stream(self, connection: Connection, query: Select[Any]) -> Generator[Sequence[Any], None, None]:
        from exchange.connect.dialects import mysql_session

        driver: Any = connection.connection.driver_connection
        yield from mysql_session.stream(driver, *statement(connection, query), connection.invalidate)

    def kinds(self, connection: Connection, query: Select[Any]) -> Mapping[str, str]:
        from exchange.connect.dialects import mysql_session

        driver: Any = connection.connection.driver_connection
        with driver.cursor(mysql_session.Fields) as cursor:
            cursor.execute(*statement(connection, query.limit(0)))
            names = [column[0] for column in cursor.description]
            return {name: kind for name, kind in zip(names, cursor.kinds(), strict=True) if kind is not None}

    def exact(self, column: ColumnElement[Any], kind: str | None) -> ColumnElement[Any]:
        """A FLOAT comes as a double: by itself it would come with six digits."""
        return column.op("+")(sa.literal_column("0e0")) if kind == "float" else column

    def ordered(self, column: ColumnElement[Any], kind: str | None) -> ColumnElement[Any]:
        """Text by its bytes in UTF-8: most collations take `a` and `A`, or `a` and `a `, for equal."""
        if kind != "text":
            return self.exact(column, kind)
        return sa.cast(sa.func.convert(column.op("USING")(sa.literal_column("utf8mb4"))), sa.LargeBinary())

    def place(self, value: Any, kind: str | None) -> Any:
        return value.encode() if kind == "text" and isinstance(value, str) else value

    def after(self, columns: Columns, values: Columns) -> ColumnElement[bool]:
        """MySQL reads the whole table for a comparison of pairs, but finds a first column's value in an index."""
        return spelt_after(columns, values)

    def within(self, columns: Columns, first: Columns, last: Columns) -> ColumnElement[bool]:
        return spelt_within(columns, first, last)

    def column_type(self, field: Field, key_size: int = 0) -> Type:
        return mysql_types.column_type(field, key_size)

    def type_name(self, column: Type) -> str:
        return mysql_types.type_name(column)

    def keeps(self, field: Field, column: Type) -> bool:
        return mysql_types.keeps(field, column)

    def adapter(self, field: Field, column: Type) -> Adapter:
        return or_null(mysql_types.adapter(field, column))

    def insert(self, table: Any) -> Any:
        return Insert(table)

    @contextmanager
    def making(self, engine: Engine) -> Iterator[Connection]:
        with engine.begin() as connection:
            # Locks by name are the server's, and outlive the commits that come with making a table.
            database = str(connection.scalar(sa.select(sa.func.database())))
            name = f"exchange {blake2b(database.encode(), digest_size=16).hexdigest()}"
            if connection.scalar(sa.select(sa.func.get_lock(name, LOCK_S))) != 1:
                from pymysql.err import Error  # loaded by now; it takes 9 MB

                raise Error(LOCKED, "another connector makes tables")
            with _ending_with(connection, f"DO RELEASE_LOCK('{name}')"):
                yield connection

    def state(self, connection: Connection, table: str, schema: str | None) -> str:
        place = {"schema": schema, "name": table}
        columns = connection.execute(_COLUMNS, place).all()
        # Unique indexes count: an upsert would replace what collides in them.
        return f"{[connection.execute(query, place).all() for query in (_TABLE, _UNIQUE)]} {columns}" if columns else ""

    def cautions(self, connection: Connection, table: str, schema: str | None) -> Cautions:
        place = {"schema": schema, "name": table}
        columns = connection.execute(_COLUMNS, place).all()
        unique: dict[str, set[str]] = {}
        for index, column, part in connection.execute(_UNIQUE, place):
            # A part of a column, or an expression, is no column.
            unique.setdefault(index, set()).add(f"{column}({part})" if part or not column else self.fold(column))
        numbered = {self.fold(name) for name, _, _, _, extra, _ in columns if "auto_increment" in extra.lower()}
        blurred = {self.fold(row[0]): row[3] for row in columns if row[3] and not _is_exact(row[3])}
        engines = {str(engine) for engine, _ in connection.execute(_TABLE, place)} - {"InnoDB"}
        return Cautions(
            f"{', '.join(engines)} has no transactions; ALTER TABLE … ENGINE=InnoDB" if engines else None,
            blurred,
            frozenset(frozenset(parts) for parts in unique.values() if not parts & numbered),
        )

    def some(self, change: Any, table: sa.TableClause, wanted: ColumnElement[bool], at_most: int) -> Any:
        return change.where(wanted).with_dialect_options(mysql_limit=at_most)

    def check_deferred(self, connection: Connection) -> None:
        """There are no deferred constraints."""

    @contextmanager
    def in_time(self, connection: Connection, seconds: float) -> Iterator[None]:
        from exchange.connect.dialects import mysql_session

        driver: Any = connection.connection.driver_connection
        limit = mysql_session.statement_limit(driver, seconds)
        variable = limit.partition(" ")[0]
        usual = connection.exec_driver_sql(f"SELECT @@SESSION.{variable}").scalar()
        connection.exec_driver_sql(f"SET SESSION {limit}")
        with _ending_with(connection, f"SET SESSION {variable} = {usual}"):
            yield


@contextmanager
def _ending_with(connection: Connection, statement: str) -> Iterator[None]:
    """Run the statement at the end of the block; if the block fails, its error counts, and the session may be lost."""
    try:
        yield
    except BaseException:
        with suppress(SQLAlchemyError):
            connection.exec_driver_sql(statement)
        raise
    connection.exec_driver_sql(statement)


class Insert(mysql.Insert):
    """An insert whose conflicts are written as for PostgreSQL; any unique index can be the one in conflict."""

    inherit_cache = True

    @property
    def excluded(self) -> _Given:
        """The values that were to be inserted."""
        return _Given()

    def on_conflict_do_update(self, *, index_elements: Any, set_: Mapping[str, Any], where: Any = None) -> Insert:
        """Replace these columns of the row in conflict; `where` goes with one column only: it sees those set before."""
        assert where is None or len(set_) == 1
        if where is not None:
            set_ = {name: sa.func.if_(where, value, sa.column(name)) for name, value in set_.items()}
        return self.on_duplicate_key_update(dict(set_)) if set_ else self.on_conflict_do_nothing()

    def on_conflict_do_nothing(self) -> Insert:
        """Leave the row in conflict as it is; INSERT IGNORE would let pass other errors, too."""
        name = next(iter(self.table.c)).name
        return self.on_duplicate_key_update({name: sa.column(name)})


class _Given:
    def __getitem__(self, name: str) -> ColumnElement[Any]:
        return sa.func.values(sa.column(name))

    __getattr__ = __getitem__


def _is_exact(collation: str) -> bool:
    """Whether different texts are different there; others ignore case, accents, or blanks at the end."""
    return collation.endswith(("_nopad_bin", "_0900_bin")) or collation == "binary"
