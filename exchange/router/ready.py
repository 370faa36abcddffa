"""Makes a subject's grants ready for the kernels: compiled once per contract epoch and day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from exchange import names
from exchange.contract.model import Epoch, Quota
from exchange.policy.pseudonyms import reader_key
from exchange.policy.views import GrantedView, subject_views
from exchange.records.program import Program, compile_program
from exchange.records.row_names import Namer, compile_namers
from exchange.records.view import View, compile_view
from exchange.schema import avro
from exchange.schema.avro import Schema


@dataclass(frozen=True)
class ReadyView:
    """One distinct view: the grants that share it, with their readers and inboxes, and the kernels that compute it.

    `key_of_pseudonyms` is the reader's key, if delivered records have a pseudonym as their key. `handles_for` is the
    reader, if it knows rows by handles. Only a view of a single grant has a limited `quota`.
    """

    grants: tuple[str, ...]
    readers: tuple[str, ...]
    topics: tuple[str, ...]
    is_whole: bool
    is_filtered: bool
    keeps_key: bool
    key_of_pseudonyms: bytes | None
    handles_for: str | None
    quota: Quota
    kernels: View

    @property
    def takes_tombstones(self) -> bool:
        """Whether null values are delivered: these need the key, to say whose record is gone, and pass no filter."""
        return self.keeps_key and not self.is_filtered


@dataclass(frozen=True)
class ReadySubject:
    """What the router does with a subject's records, from `valid_from` until before `valid_until`.

    `namers` tell its rows apart, by schema id; empty if the subject has no key.
    """

    checks: Mapping[int, Program]
    namers: Mapping[int, Namer]
    views: tuple[ReadyView, ...]
    valid_from: datetime
    valid_until: datetime

    def holds_at(self, now: datetime) -> bool:
        """Whether no grant begins or ends between `now` and the moment for which this was made."""
        return self.valid_from <= now < self.valid_until

    @property
    def looks_inside(self) -> bool:
        """Whether somebody needs to know where the fields of records are."""
        return bool(self.namers) or any(view.is_filtered or not view.is_whole for view in self.views)


def make_ready(epoch: Epoch, subject_id: str, now: datetime, pseudonym_key: bytes = b"") -> ReadySubject:
    """Compile the checks of every writer's schema, and the views in force at `now`.

    `pseudonym_key` (32 bytes) serves all readers; raises NoPseudonymKeyError if it is empty and a view needs it.
    """
    granted = subject_views(epoch, subject_id, now)
    writers = {schema_id: avro.parse(epoch.schemas[schema_id]) for schema_id in granted.allowed}
    checks = {schema_id: compile_program(schema) for schema_id, schema in writers.items()}
    views = tuple(_ready(epoch, subject_id, view, writers, pseudonym_key) for view in granted.views)
    namers = compile_namers(writers, epoch.contract.subject(subject_id).key)
    return ReadySubject(checks, namers, views, granted.valid_from, granted.valid_until)


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
        readers=tuple(grant.reader for grant in view.grants),
        topics=tuple(names.inbox_topic(grant.reader, subject_id) for grant in view.grants),
        is_whole=delivered is None,
        is_filtered=bool(view.where),
        keeps_key=view.keeps_key,
        key_of_pseudonyms=key if view.key_is_pseudonym else None,
        handles_for=view.handles_for,
        quota=view.grants[0].quota,
        kernels=kernels,
    )
