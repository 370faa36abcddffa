"""Puts a sink together as its terms ask: taking in, waiting for a grant, or deleting what an ended one has left."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from exchange.bus.connection import Cluster
from exchange.connect.assembly import Assembly
from exchange.connect.config import SinkConfig
from exchange.connect.copy_notes import Note
from exchange.connect.delivered import Delivered, row_key
from exchange.connect.ending import Ending, Unfinished, Waiting
from exchange.connect.parquet_sink import ParquetSink
from exchange.connect.parquet_table import ParquetTable
from exchange.connect.rejects import RejectFile
from exchange.connect.schemas import Schemas
from exchange.connect.sink import Sink
from exchange.connect.sink_table import SinkTable
from exchange.connect.sink_worker import SinkPart
from exchange.connect.terms_watch import SinkTerms
from exchange.contract.model import Epoch, Grant
from exchange.contract.period import Interruption, end_of, interruption
from exchange.epochs import contracts_of, epochs_since
from exchange.names import inbox_topic


class SinkParts:
    """Makes the parts of one sink, one after the other."""

    def __init__(
        self, cluster: Cluster, department: str, config: SinkConfig, parts: Assembly, rejects: RejectFile
    ) -> None:
        self._cluster = cluster
        self._department = department
        self._config = config
        self._parts = parts
        self._rejects = rejects
        self._topic = inbox_topic(department, config.subject)

    def part(self, terms: SinkTerms, epoch: Epoch, confirm: Callable[[], None]) -> tuple[SinkPart, bool]:
        """What the sink runs under these terms of the epoch, and whether a grant is in force."""
        delivered = self._delivered(terms, terms.grant, epoch) if terms.grant and terms.has_begun else None
        table = self._parts.table(self._config, terms.subject, delivered.key if delivered else ())
        try:
            return self._part(terms, table, delivered, confirm, epoch), terms.is_in_force
        except BaseException:
            table.close()
            raise

    def _part(
        self,
        terms: SinkTerms,
        table: SinkTable,
        delivered: Delivered | None,
        confirm: Callable[[], None],
        epoch: Epoch,
    ) -> SinkPart:
        copy, grant = table.copy(self._topic), terms.grant
        note = copy.note()
        if terms.is_in_force and note is not None:
            if not note.is_due and (since := self._fell_due(note)) is not None:
                note = copy.end(note.grant, note.until, deletes=True, since=since)
            if note.is_due:
                return Unfinished(table, self._topic)
        if not terms.is_in_force:
            if grant is not None and terms.has_begun:
                since = end_of(grant.until).timestamp()
                note = copy.end(grant.id, grant.until, deletes=grant.deletes(terms.subject), since=since)
            elif note is not None:
                # It was revoked, and this connector may not have seen what it said last, nor one that followed it.
                last, until, deletes, since = note.grant, note.until, note.deletes, time.time()
                if (found := self._interruption(note)) is not None:
                    last, until, deletes = found.grant.id, found.grant.until, found.deletes
                    since = found.moment.timestamp()
                note = copy.end(last, until, deletes=deletes, since=since)
            if note is not None and note.deletes:
                return Ending(self._cluster, table, self._topic, confirm)
        if grant is None or delivered is None:
            return Waiting(table, self._topic)
        is_new_table = table.fit(delivered.schema)
        if terms.is_in_force:
            deletes = grant.deletes(terms.subject)
            held = grant.id, grant.until, delivered.fields, delivered.key
            copy.hold(*held, epoch=epoch.number, deletes=deletes)
        schema_of = Schemas(self._cluster, epoch.schemas).of
        inbox = self._cluster, self._department, terms.subject
        if isinstance(table, ParquetTable):
            return ParquetSink(*inbox, table, delivered, confirm, schema_of, self._rejects, is_new_table=is_new_table)
        return Sink(*inbox, table, delivered, confirm, schema_of, self._rejects, is_new_table=is_new_table)

    def _fell_due(self, note: Note) -> float | None:
        """The Unix time when the last grant before this one ended and asked for a deletion, while nobody ran the sink.

        None if none did, or if rows came or went since.
        """
        if note.changed_ms is None or not note.epoch:
            return None
        found = self._interruption(note)
        if found is None or not found.deletes:
            return None
        ceased = found.moment.timestamp()
        return ceased if ceased * 1000 > note.changed_ms else None

    def _interruption(self, note: Note) -> Interruption | None:
        """How the reader last ceased to be given the subject, since the epoch that is noted."""
        reader, subject = self._department, self._config.subject
        contracts = contracts_of(epochs_since(self._cluster, note.epoch), [(reader, subject)])
        return interruption(contracts, subject, reader, datetime.now(UTC))

    def _delivered(self, terms: SinkTerms, grant: Grant, epoch: Epoch) -> Delivered:
        schemas = Schemas(self._cluster, epoch.schemas)
        schema = schemas.of(terms.writers[-1] if terms.view is None else terms.view)
        key = terms.subject.key if terms.given is None else row_key(terms.subject, grant, terms.given)
        if terms.view is not None:
            return Delivered(schema, key, frozenset(schema.fields))
        everything = {name for schema_id in terms.writers for name in schemas.of(schema_id).fields}
        return Delivered(schema, key, frozenset(everything))
