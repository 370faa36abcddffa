"""What a database must be like so that the changes of a table can be taken from it, and what to run where it is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, NamedTuple

from psycopg import sql

from exchange.connect.database import DatabaseConfigError
from exchange.connect.postgres import Connection

_AGAIN = "raise `snapshot` of `cdc` by one: the table is read again from its beginning"
_UNKNOWN = "readers keep rows that are gone by then until their deletion is published, see docs/connectors.md"


class CaptureSetupError(DatabaseConfigError):
    """A database or table is not set up so that its changes can be taken."""

    code = "cdc-setup"
    remedy = "see `exchange connector check`"


class LostSlotError(DatabaseConfigError):
    """The replication slot is gone, or it does not give all changes any more."""

    code = "lost-slot"
    remedy = f"changes are missing: {_AGAIN}; {_UNKNOWN}"


class TruncatedError(DatabaseConfigError):
    """A table was emptied by TRUNCATE, so that the rows that are gone have no names."""

    code = "table-truncated"
    remedy = f"was it meant? If so, {_AGAIN}; {_UNKNOWN}"


class TableAlteredError(DatabaseConfigError):
    """A table's columns are not those that were read: ALTER TABLE can change rows without saying so in the stream."""

    code = "table-altered"
    remedy = f"bring the columns back, or adapt `columns` and the schema; then {_AGAIN}"


@dataclass(frozen=True)
class Fault:
    """Something that stands in the way, and what to do; a `warning` does not keep a source from starting."""

    message: str
    remedy: str
    is_warning: bool = False


class TableColumn(NamedTuple):
    """A column: its type and the type's modifier; its number, which no other one ever gets; who last altered it."""

    kind: int
    modifier: int
    number: int
    version: int


@dataclass(frozen=True)
class Table:
    """The table as it is now: its oid (0: there is none), its columns that the stream gives, and all that is wrong.

    `file` is another one when the table was rewritten; `publication` is other numbers when that was made or altered,
    or the table was put into it: what was changed meanwhile may not be in the log's stream.
    """

    oid: int
    columns: Mapping[str, TableColumn]
    faults: tuple[Fault, ...]
    file: int = 0
    publication: tuple[int, ...] = ()


def name_of(subject: str) -> str:
    """The name of the subject's publication; those of its slots begin with it.

    >>> name_of("tax.income-tax")
    'exchange_tax__income_tax'
    """
    name = "exchange_" + subject.replace(".", "__").replace("-", "_")
    return name if len(name) < 54 else f"{name[:36]}_{blake2b(name.encode(), digest_size=8).hexdigest()}"


def identifier(table: str) -> sql.Identifier:
    """The table's quoted name."""
    schema, _, name = table.rpartition(".")
    return sql.Identifier(schema, name) if schema else sql.Identifier(name)


_SERVER = """
SELECT current_setting('server_version_num')::int AS version, current_setting('wal_level') AS wal_level,
       pg_is_in_recovery() AS standby, current_user AS login,
       (SELECT rolsuper OR rolreplication FROM pg_roles WHERE rolname = current_user) AS replicates,
       current_setting('max_slot_wal_keep_size') AS keeps, current_setting('max_replication_slots')::int AS slots,
       (SELECT count(*) FROM pg_replication_slots WHERE NOT starts_with(slot_name, %(name)s)) AS other_slots,
       c.oid, c.relfilenode, c.relkind, c.relpersistence, c.relreplident, c.relhassubclass, n.nspname, c.relname,
       CASE WHEN c.oid IS NOT NULL THEN has_table_privilege(c.oid, 'SELECT') END AS readable,
       CASE WHEN c.oid IS NOT NULL THEN row_security_active(c.oid) END AS policies
  FROM (SELECT to_regclass(%(table)s) AS oid) named
  LEFT JOIN pg_class c ON c.oid = named.oid LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
"""
_COLUMNS = """
SELECT attname, atttypid, atttypmod, attnum, xmin::text::bigint FROM pg_attribute
 WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum
"""
_IDENTITY = """
SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
 WHERE i.indrelid = %s AND CASE %s WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END
"""
_UNIQUE = """
SELECT array_agg(a.attname::text) FROM pg_index i
  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
 WHERE i.indrelid = %s AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
 GROUP BY i.indexrelid
"""
_PUBLICATION = """
SELECT p.pubinsert AND p.pubupdate AND p.pubdelete AND p.pubtruncate, to_jsonb(t),
       array[p.oid::bigint, p.xmin::text::bigint, r.oid::bigint, r.xmin::text::bigint]
  FROM pg_publication p LEFT JOIN pg_publication_rel r ON r.prpubid = p.oid AND r.prrelid = %s
  LEFT JOIN pg_publication_tables t ON t.pubname = p.pubname AND t.schemaname = %s AND t.tablename = %s
 WHERE p.pubname = %s
"""


def examine(connection: Connection, table: str, name: str, key: Sequence[str], *, transforms: bool) -> Table:
    """The table, and everything that keeps its changes from being taken; asks the catalogue only.

    A `transform` works on whole rows, so that it needs those of deleted ones, too.
    """
    quoted = identifier(table).as_string(connection)
    cursor = connection.execute(_SERVER, {"table": quoted, "name": name})
    assert cursor.description is not None
    facts = dict(zip([column.name for column in cursor.description], cursor.fetchone() or (), strict=True))
    faults = _of_server(facts)
    if facts["oid"] is None:
        return Table(0, {}, (*faults, Fault(f"there is no table {table}", "correct `table`, with its schema")))
    columns = {str(column): TableColumn(*each) for column, *each in connection.execute(_COLUMNS, [facts["oid"]])}
    identity = {row[0] for row in connection.execute(_IDENTITY, [facts["oid"], facts["relreplident"]])}
    if facts["relreplident"] == "f":
        identity = set(columns)
    unique = [set(row[0]) for row in connection.execute(_UNIQUE, [facts["oid"]])]
    faults += _of_table(facts, quoted)
    faults += _of_key(quoted, key, columns, identity, unique)
    if transforms and facts["relreplident"] != "f":
        message = "a transform needs whole rows, and the stream gives only the key of a deleted row"
        faults.append(Fault(message, f"ALTER TABLE {quoted} REPLICA IDENTITY FULL"))
    named = [facts["oid"], facts["nspname"], facts["relname"], name]
    found = connection.execute(_PUBLICATION, named).fetchone()
    given, more = _of_publication(quoted, name, found)
    numbers = tuple(number or 0 for number in found[2]) if found else ()
    if given is not None:
        columns = {column: kind for column, kind in columns.items() if column in given}
    return Table(facts["oid"], columns, (*faults, *more), facts["relfilenode"], numbers)


def _of_server(facts: Mapping[str, Any]) -> list[Fault]:
    faults = []
    if facts["standby"]:
        faults.append(Fault("the server is a standby", "name the primary server in `database`"))
    if facts["wal_level"] != "logical":
        remedy = "ALTER SYSTEM SET wal_level = logical, and restart the server"
        faults.append(Fault(f"the server's wal_level is {facts['wal_level']}, not logical", remedy))
    if not facts["replicates"]:
        remedy = f'ALTER ROLE "{facts["login"]}" REPLICATION'
        faults.append(Fault("the connector's login may not replicate", remedy))
    if facts["other_slots"] >= facts["slots"]:
        faults.append(Fault("the server has no replication slot left", "raise max_replication_slots, and restart it"))
    if facts["keeps"] == "-1":
        message = "while the connector stands still, the server keeps its log without limit, and the disk can fill"
        remedy = "set max_slot_wal_keep_size to what the disk can spare; beyond it the slot is lost"
        faults.append(Fault(message, remedy, is_warning=True))
    return faults


def _of_table(facts: Mapping[str, Any], quoted: str) -> list[Fault]:
    faults = []
    if facts["relkind"] != "r" or facts["relhassubclass"]:
        remedy = "name a plain table, such as a partition; or use a cursor"
        faults.append(Fault("changes can be taken from plain tables only, not from views or partitioned ones", remedy))
    if facts["relpersistence"] != "p":
        faults.append(Fault("the table is not logged", f"ALTER TABLE {quoted} SET LOGGED"))
    if not facts["readable"]:
        faults.append(Fault("the login may not read the table", f'GRANT SELECT ON {quoted} TO "{facts["login"]}"'))
    if facts["policies"]:
        message = "a row-level policy hides rows from the login, and the stream does not know of it"
        faults.append(Fault(message, f'ALTER ROLE "{facts["login"]}" BYPASSRLS, if it may see all'))
    return faults


def _of_key(
    quoted: str, key: Sequence[str], columns: Mapping[str, Any], identity: set[str], unique: Sequence[set[str]]
) -> list[Fault]:
    if missing := [name for name in key if name not in columns]:
        return [Fault(f"the table has no column {', '.join(missing)}, of the subject's key", "correct `columns`")]
    faults = []
    if not any(names <= set(key) for names in unique):
        message = "no unique index tells the rows apart by the subject's key: rows would replace each other"
        faults.append(Fault(message, f"CREATE UNIQUE INDEX ON {quoted} ({_list(key)}), or correct the subject's key"))
    if missing := [name for name in key if name not in identity]:
        message = f"the table's replica identity has no {', '.join(missing)}: deletions would not name their rows"
        faults.append(
            Fault(message, f"ALTER TABLE {quoted} REPLICA IDENTITY FULL, or USING INDEX a unique one of the key")
        )
    return faults


def _of_publication(quoted: str, name: str, found: Any) -> tuple[list[str] | None, list[Fault]]:
    """The columns that the publication gives, None for all; and what is wrong with it."""
    if found is None:
        return None, [Fault(f"there is no publication {name}", f"CREATE PUBLICATION {name} FOR TABLE {quoted}")]
    whole, given, _ = found
    if given is None:
        return None, [Fault(f"publication {name} lacks the table", f"ALTER PUBLICATION {name} ADD TABLE {quoted}")]
    faults = []
    if not whole:
        remedy = f"ALTER PUBLICATION {name} SET (publish = 'insert, update, delete, truncate')"
        faults.append(Fault(f"publication {name} leaves out a kind of change", remedy))
    if given.get("rowfilter"):
        remedy = f"ALTER PUBLICATION {name} SET TABLE {quoted}"
        faults.append(Fault(f"publication {name} leaves out rows; what a reader gets is the grant's to say", remedy))
    return given.get("attnames"), faults


def _list(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
