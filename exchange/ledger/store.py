"""Writes intakes of the ledger to SQL, each in one transaction together with its position."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import attrgetter
from typing import Any

from sqlalchemy import (
    DDL,
    Connection,
    Engine,
    Select,
    Table,
    func,
    insert,
    inspect,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError, IntegrityError

from exchange import names, sql
from exchange.contract.model import Epoch, Grant
from exchange.contract.period import city_day, moment_of
from exchange.contract.rounding import in_words
from exchange.errors import CorruptionError, TransientError
from exchange.ledger import tables, tag_index
from exchange.ledger.intake import Intake, Placed, State
from exchange.names import Partition
from exchange.settings import Settings

FOLLOW_ANEW = "the topic was truncated or made again: restore it, or follow it into an empty database"


class StoreUnavailableError(TransientError):
    """The ledger's database does not answer, or another follower is at work on it."""

    code = "ledger-store-unavailable"
    remedy = "see that the ledger's database runs, and that only one follower does"


class LedgerContradictionError(CorruptionError):
    """The ledger's database and the ledger on Kafka contradict each other."""

    code = "ledger-contradiction"
    remedy = "find out who rewrote the ledger topic before anything else"


def ledger_url(settings: Settings) -> str:
    """The database that the settings name, or else SQLite in the home folder, readable only by its owner."""
    return sql.url_of(settings.ledger_url, settings.home / "ledger.db")


def entry_id(partition: int, offset: int) -> int:
    """The id of the entry at this place of the ledger topic."""
    return offset * tables.MAX_LEDGER_PARTITIONS + partition


class LedgerStore:
    """The ledger's database, SQLite or PostgreSQL, by URL; creates the tables that are missing."""

    def __init__(self, url: str) -> None:
        self.engine = sql.engine_of(url, "EXCHANGE_LEDGER_URL", "synchronous = NORMAL", "cache_size = -131072")
        with translated():
            try:
                tables.metadata.create_all(self.engine)
            except DBAPIError:  # another process created a table at the same moment
                tables.metadata.create_all(self.engine)
            _add_columns(self.engine)

    def positions(self) -> dict[Partition, int]:
        """The offset after the last one stored, per (topic, partition)."""
        with translated(), self.engine.connect() as connection:
            return {(topic, p): offset for topic, p, offset in connection.execute(select(tables.positions))}

    def require_topics(self, topic_ids: Mapping[str, str]) -> None:
        """Note the ids of the followed topics; raises LedgerContradictionError if one was created anew since."""
        t = tables.topics
        with translated(), self.engine.begin() as connection:
            known = {row.topic: row.topic_id for row in connection.execute(select(t))}
            for topic, topic_id in topic_ids.items():
                if known.get(topic, topic_id) != topic_id:
                    raise LedgerContradictionError(f"{topic} was deleted and made again", remedy=FOLLOW_ANEW)
            new = [{"topic": topic, "topic_id": id_} for topic, id_ in topic_ids.items() if topic not in known]
            _insert(connection, t, new)

    def open_entries(self) -> int:
        """How many entries wait for the end of their transaction."""
        query = select(func.count()).select_from(tables.entries).where(tables.entries.c.state == "open")
        with translated(), self.engine.connect() as connection:
            return connection.scalar(query) or 0

    def rows(self, query: Select[Any]) -> list[Any]:
        """The rows that a query on the ledger's tables finds."""
        with translated(), self.engine.connect() as connection:
            return list(connection.execute(query))

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """A connection whose queries all see the database as at the first of them, whoever writes meanwhile."""
        with translated(), self.engine.connect() as connection:
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN")
            else:
                connection.execution_options(isolation_level="REPEATABLE READ")
            yield connection

    def apply(self, intake: Intake) -> Counter[State]:
        """Store the whole intake, or nothing of it; return how many entries it decided, and how.

        After StoreUnavailableError nothing is stored; go on from `positions()`. An entry already stored stays as it is;
        raises LedgerContradictionError if it differs.
        """
        with translated(), self.engine.begin() as connection:
            _advance(connection, intake)
            decided = _decide(connection, intake)
            unknown = _unknown(connection, intake.entries)
            _write(connection, unknown)
            for epoch in intake.epochs:
                _write_epoch(connection, epoch)
        return decided + Counter(placed.state for placed in unknown if placed.state != "open")

    def close(self) -> None:
        """Disconnect."""
        self.engine.dispose()


@contextmanager
def translated() -> Iterator[None]:
    """Raise SQLAlchemy's errors as the exchange's: a constraint is a contradiction, all else is unavailability."""
    try:
        yield
    except IntegrityError as error:
        raise LedgerContradictionError("the ledger's database refuses an entry as contradictory") from error
    except DBAPIError as error:
        raise StoreUnavailableError("the ledger's database does not answer") from error


_ADDED = {
    tables.entries: {"replay": "TEXT"},
    tables.outcomes: {"withdrawn": "INTEGER NOT NULL DEFAULT 0", "withdrawals": "INTEGER NOT NULL DEFAULT 0"},
}


def _add_columns(engine: Engine) -> None:
    """Add the columns that an older database lacks; none of its entries has anything to say in them."""
    for table, columns in _ADDED.items():
        there = {column["name"] for column in inspect(engine).get_columns(table.name)}
        with engine.begin() as connection:
            for name in columns.keys() - there:
                connection.execute(DDL(f"ALTER TABLE {table.name} ADD COLUMN {name} {columns[name]}"))


def _advance(connection: Connection, intake: Intake) -> None:
    """Move the positions from the start of the intake to its end; raise an error if they are elsewhere."""
    t = tables.positions
    for (topic, partition), (start, end) in intake.positions.items():
        here = (t.c.topic == topic) & (t.c.partition == partition)
        moved = connection.execute(update(t).where(here, t.c.next_offset == start).values(next_offset=end))
        if moved.rowcount == 1:
            continue
        try:
            connection.execute(insert(t).values(topic=topic, partition=partition, next_offset=end))
        except IntegrityError as error:
            remedy = "run one follower per database"
            raise StoreUnavailableError("another follower moved the position", remedy=remedy) from error


def _decide(connection: Connection, intake: Intake) -> Counter[State]:
    """Decide entries that earlier intakes stored as open."""
    t = tables.entries
    decided: Counter[State] = Counter()
    for marker in intake.markers:
        updated = connection.execute(
            update(t)
            .where(t.c.ledger_partition == marker.partition, t.c.producer_id == marker.producer_id)
            .where(t.c.state == "open", t.c.ledger_offset < marker.offset)
            .values(state=marker.state)
        )
        decided[marker.state] += updated.rowcount
    return decided


def _unknown(connection: Connection, placed: Sequence[Placed]) -> list[Placed]:
    """The entries not in the database yet; raises LedgerContradictionError if one differs from what is stored."""
    t = tables.entries
    known: dict[tuple[int, int], bytes] = {}
    for partition in {p.partition for p in placed}:
        offsets = [p.offset for p in placed if p.partition == partition]
        query = select(t.c.ledger_offset, t.c.digest).where(t.c.ledger_partition == partition)
        for offset, digest in connection.execute(query.where(t.c.ledger_offset.between(min(offsets), max(offsets)))):
            known[partition, offset] = bytes(digest)
    for p in placed:
        if known.get((p.partition, p.offset), p.digest) != p.digest:
            raise LedgerContradictionError(
                f"{names.LEDGER_TOPIC}/{p.partition} offset {p.offset} is not what was read before"
            )
    return [p for p in placed if (p.partition, p.offset) not in known]


def _write(connection: Connection, placed: Sequence[Placed]) -> None:
    rows = [(entry_id(p.partition, p.offset), p) for p in placed]
    _insert(connection, tables.entries, [_entry_row(id_, p) for id_, p in rows])
    _insert(
        connection,
        tables.runs,
        [{"entry_id": i, "first": run.first, "count": run.count} for i, p in rows for run in p.entry.runs],
    )
    by_grant = [(i, grant, outcome) for i, p in rows for outcome in p.entry.outcomes for grant in outcome.grants]
    _insert(
        connection,
        tables.outcomes,
        [
            {
                "entry_id": i,
                "grant_id": g,
                "delivered": o.delivered,
                "bytes": o.size_bytes,
                "withheld": sum(w.count for w in o.withheld),
                "withdrawn": sum(w.count for w in o.withdrawn),
                "withdrawals": sum(w.records for w in o.withdrawn),
            }
            for i, g, o in by_grant
        ],
    )
    for table, parts in ((tables.withheld, attrgetter("withheld")), (tables.withdrawn, attrgetter("withdrawn"))):
        counts = [
            {"entry_id": i, "grant_id": g, "reason": part.reason, "count": part.count}
            for i, g, o in by_grant
            for part in parts(o)
        ]
        _insert(connection, table, counts)
    _insert(
        connection,
        tables.quarantined,
        [
            {"entry_id": i, "position": q.index, "source_offset": q.offset, "reason": q.reason}
            for i, p in rows
            for q in p.entry.quarantined
        ],
    )
    _insert(
        connection,
        tables.gaps,
        [
            {
                "entry_id": i,
                "first": p.entry.gap.first,
                "next": p.entry.gap.next,
                "cause": p.entry.gap.cause,
                "topic_id": p.entry.gap.topic_id,
                "accepted": p.entry.gap_accepted,
            }
            for i, p in rows
            if p.entry.gap
        ],
    )
    tag_index.add(connection, [(id_, p.entry.tags) for id_, p in rows])


def _insert(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(insert(table), rows)


def _entry_row(id_: int, placed: Placed) -> dict[str, Any]:
    entry = placed.entry
    return {
        "id": id_,
        "ledger_partition": placed.partition,
        "ledger_offset": placed.offset,
        "producer_id": placed.producer_id,
        "state": placed.state,
        "digest": placed.digest,
        "time_ms": entry.time_ms,
        "day": city_day(moment_of(entry.time_ms)).isoformat(),
        "epoch": entry.epoch,
        "router": entry.router,
        "topic": entry.topic,
        "partition": entry.partition,
        "count": entry.count,
        "quarantined": len(entry.quarantined),
        "replay": entry.replay,
        "body": placed.body,
    }


def _write_epoch(connection: Connection, epoch: Epoch) -> None:
    t = tables.grants
    if connection.scalar(select(func.count()).select_from(t).where(t.c.epoch == epoch.number)):
        return
    _insert(connection, t, [_grant_row(epoch, grant) for grant in epoch.contract.grants])


def _grant_row(epoch: Epoch, grant: Grant) -> dict[str, Any]:
    written = grant.model_dump(mode="json", by_alias=True)
    return {
        "epoch": epoch.number,
        "id": grant.id,
        "subject": grant.subject,
        "topic": names.subject_topic(grant.subject),
        "reader": grant.reader,
        "purpose": grant.purpose.code,
        "basis": grant.purpose.basis,
        "text": grant.purpose.text,
        "fields": json.dumps(_fields(epoch, grant)),
        "filter": json.dumps(written["where"]),
        "from_day": grant.from_.isoformat(),
        "until_day": grant.until.isoformat(),
    }


def _fields(epoch: Epoch, grant: Grant) -> str | list[str]:
    """The fields that were given; masked and rounded ones with how."""
    notes = {name: in_words(how) for name, how in epoch.contract.subject(grant.subject).rounded.items()}
    notes |= {name: mask.kind for name, mask in grant.masks.items()}
    given = epoch.given(grant)
    if given is None:
        return f"all ({', '.join(f'{name} {note}' for name, note in notes.items())})" if notes else "all"
    return [f"{name} ({notes[name]})" if name in notes else name for name in given]
