"""A subject's grants made ready for the kernels: compiled once per contract epoch and day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from exchange import names
from exchange.contract.model import Epoch, Quota
from exchange.policy.pseudonyms import reader_key
from exchange.policy.views import GrantedView, subject_views
from exchange.records.program import Program, compile_program
from exchange.records.view import View, compile_view
from exchange.schema import avro
from exchange.schema.avro import Schema


@dataclass(frozen=True)
class ReadyView:
    """One distinct view: who shares it, and the kernels that make it.

    `key_of_pseudonyms` is the reader's where delivered records have a pseudonym for a key. Only a view
    of a single grant has a limited `quota`.
    """

    grants: tuple[str, ...]
    topics: tuple[str, ...]
    is_whole: bool
    is_filtered: bool
    keeps_key: bool
    key_of_pseudonyms: bytes | None
    quota: Quota
    kernels: View

    @property
    def takes_tombstones(self) -> bool:
        """A null value says only whose record is gone: it needs the key, and no filter can judge it."""
        return self.keeps_key and not self.is_filtered


@dataclass(frozen=True)
class ReadySubject:
    """What the router does with a subject's records from `valid_from` to before `valid_until`."""

    checks: Mapping[int, Program]
    views: tuple[ReadyView, ...]
    valid_from: datetime
    valid_until: datetime

    def holds_at(self, now: datetime) -> bool:
        """Whether no grant began or ended between this and the moment that it was made for."""
        return self.valid_from <= now < self.valid_until

    @property
    def looks_inside(self) -> bool:
        """Whether some view needs to know where a record's fields are."""
        return any(view.is_filtered or not view.is_whole for view in self.views)


def make_ready(epoch: Epoch, subject_id: str, now: datetime, pseudonym_key: bytes = b"") -> ReadySubject:
    """Compile the checks of every writer schema and the views in force at `now`.

    `pseudonym_key` (32 bytes) is that of all readers; NoPseudonymKeyError where a view needs it and it is empty.
    """
    granted = subject_views(epoch, subject_id, now)
    writers = {schema_id: avro.parse(epoch.schemas[schema_id]) for schema_id in granted.allowed}
    checks = {schema_id: compile_program(schema) for schema_id, schema in writers.items()}
    views = tuple(_ready(epoch, subject_id, view, writers, pseudonym_key) for view in granted.views)
    return ReadySubject(checks, views, granted.valid_from, granted.valid_until)


def _ready(
    epoch: Epoch, subject_id: str, view: GrantedView, writers: Mapping[int, Schema], pseudonym_key: bytes
) -> ReadyView:
    delivered = None
    if view.schema_id is not None:
        delivered = (view.schema_id, avro.parse(epoch.schemas[view.schema_id]))
    key = reader_key(pseudonym_key, *view.reader) if view.reader else b""
    kernels = compile_view(writers, delivered, view.where, view.masks, key)
    return ReadyView(
        grants=tuple(grant.id for grant in view.grants),
        topics=tuple(names.inbox_topic(grant.reader, subject_id) for grant in view.grants),
        is_whole=delivered is None,
        is_filtered=bool(view.where),
        keeps_key=view.keeps_key,
        key_of_pseudonyms=key if view.key_is_pseudonym else None,
        quota=view.grants[0].quota,
        kernels=kernels,
    )
