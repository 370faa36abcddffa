"""Makes the plan for the contract and the cluster that the settings name, and remembers what it was made from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from exchange import names
from exchange.bus import Cluster
from exchange.bus.connection import connect
from exchange.bus.consume import Consumer
from exchange.contract.file import read_file
from exchange.contract.load import Loaded, load
from exchange.contract.model import Epoch
from exchange.contract.period import city_day
from exchange.errors import ConfigError
from exchange.ledger.entry import SCHEMA_FILE
from exchange.plan import saved
from exchange.plan.apply import read_actual
from exchange.plan.changes import Part, PublishEpoch
from exchange.plan.plan import Actual, Plan, make_plan
from exchange.plan.selection import select
from exchange.schema import avro
from exchange.settings import Settings


@dataclass(frozen=True)
class Found:
    """A plan with all that it was made from: what was asked for, the contract, the cluster, and their fingerprints.

    `contract` holds the file's bytes, read before anything else.
    """

    plan: Plan
    delete: Sequence[str]
    only: Sequence[Part]
    contract: bytes
    loaded: Loaded
    actual: Actual
    basis: Mapping[saved.Basis, str]


def administrators(settings: Settings) -> Cluster:
    """The cluster, with the administrator's login."""
    return connect(settings, "exchange.apply", names.ADMIN_PRINCIPAL)


def find(settings: Settings, delete: Sequence[str] = (), only: Sequence[Part] = ()) -> Found:
    """Plan what has to be done now; if `only` names parts, only these."""
    now, contract = datetime.now(UTC), read_file(settings.contract)
    loaded = load(settings.contract, city_day(now))
    cluster = administrators(settings)
    actual = read_actual(cluster)
    basis = saved.fingerprints(loaded, actual)
    whole = make_plan(loaded, actual, avro.load(SCHEMA_FILE), now, delete=delete)
    whole.notices += _resyncs(cluster, whole, actual.epoch)
    return Found(select(whole, only, actual.epoch), delete, only, contract, loaded, actual, basis)


def find_again(settings: Settings, before: Found) -> Found:
    """Plan again; raises SavedPlanError unless it is the same plan as `before`."""
    found = find(settings, before.delete, before.only)
    saved.require_same(before.basis, saved.texts(before.plan), found.basis, found.plan)
    return found


def find_saved(settings: Settings, file: Path) -> Found:
    """The plan saved in that file; raises SavedPlanError unless it still is what has to be done now."""
    reviewed = _read(file)
    found = find(settings, reviewed.delete, reviewed.only)
    saved.require_same(reviewed.basis, reviewed.changes, found.basis, found.plan)
    return found


def save(found: Found, file: Path) -> None:
    """Write the plan to a file; raises ConfigError if that fails."""
    try:
        file.write_bytes(saved.encode(found.plan, found.basis, found.only, found.delete, datetime.now(UTC)))
    except OSError as error:
        raise ConfigError(f"{file} cannot be written: {error.strerror}", remedy="name a file elsewhere") from error


def _resyncs(cluster: Cluster, plan: Plan, last: Epoch | None) -> Iterator[str]:
    """What the routers do after the change so that readers hold what their grants give, with its size."""
    known = {resync.id for resync in last.resyncs} if last else set()
    epochs = [change.epoch for change in plan.changes if isinstance(change, PublishEpoch)]
    due = [(epoch, resync) for epoch in epochs for resync in epoch.resyncs if resync.id not in known]
    if not due:
        return
    with Consumer(cluster) as consumer:
        for epoch, resync in due:
            grant = next(grant for grant in epoch.contract.grants if grant.id == resync.grant)
            topic = names.subject_topic(grant.subject)
            places = [(topic, partition) for partition in consumer.partitions(topic)]
            records = sum(consumer.end_offsets(places).values()) - sum(consumer.begin_offsets(places).values())
            again = "delivered again as they look now, or " if resync.again else ""
            done = (
                f"{grant.reader} had {grant.subject} before, and has missed changes: all rows that the grant gives are "
                "delivered, and those that it does not give withdrawn"
                if resync.gives
                else f"rows of {grant.subject} that {grant.reader} holds are {again}withdrawn if it does not give them"
            )
            more = f". Rows that only the new terms give come with `exchange grant replay {grant.id}`"
            reads = f"routers read {records:,} records for that, when the grant is in force"
            yield f"grant {grant.id}: {done}; {reads}{'' if resync.gives else more}"


def _read(file: Path) -> saved.SavedPlan:
    try:
        with file.open("rb") as opened:
            return saved.decode(opened.read(saved.MAX_BYTES + 1))
    except OSError as error:
        raise saved.SavedPlanError(f"{file} cannot be read: {error.strerror}") from error
