"""A plan made from the settings' contract and cluster, with what it rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from exchange import names
from exchange.bus import Cluster
from exchange.bus.connection import connect
from exchange.contract.file import read_file
from exchange.contract.load import Loaded, load
from exchange.contract.period import city_day
from exchange.errors import ConfigError
from exchange.ledger.entry import SCHEMA_FILE
from exchange.plan import saved
from exchange.plan.apply import read_actual
from exchange.plan.changes import Part
from exchange.plan.plan import Actual, Plan, make_plan
from exchange.plan.selection import select
from exchange.schema import avro
from exchange.settings import Settings


@dataclass(frozen=True)
class Found:
    """A plan, what it was asked to be about, and the contract and the cluster that it was made from, with fingerprints.

    `contract` is the file as it was before anything else was read.
    """

    plan: Plan
    delete: Sequence[str]
    only: Sequence[Part]
    contract: bytes
    loaded: Loaded
    actual: Actual
    basis: Mapping[saved.Basis, str]


def administrators(settings: Settings) -> Cluster:
    """The cluster as the administrator sees it."""
    return connect(settings, "exchange.apply", names.ADMIN_PRINCIPAL)


def find(settings: Settings, delete: Sequence[str] = (), only: Sequence[Part] = ()) -> Found:
    """What has to be done now, or these parts of it."""
    now, contract = datetime.now(UTC), read_file(settings.contract)
    loaded = load(settings.contract, city_day(now))
    actual = read_actual(administrators(settings))
    basis = saved.fingerprints(loaded, actual)
    whole = make_plan(loaded, actual, avro.load(SCHEMA_FILE), now, delete=delete)
    return Found(select(whole, only, actual.epoch), delete, only, contract, loaded, actual, basis)


def find_again(settings: Settings, before: Found) -> Found:
    """What has to be done now, if that is what it was before; SavedPlanError otherwise."""
    found = find(settings, before.delete, before.only)
    saved.require_same(before.basis, saved.texts(before.plan), found.basis, found.plan)
    return found


def find_saved(settings: Settings, file: Path) -> Found:
    """What the plan in that file does, if that is what has to be done now; SavedPlanError otherwise."""
    reviewed = _read(file)
    found = find(settings, reviewed.delete, reviewed.only)
    saved.require_same(reviewed.basis, reviewed.changes, found.basis, found.plan)
    return found


def save(found: Found, file: Path) -> None:
    """Write the plan to a file; ConfigError if that cannot be."""
    try:
        file.write_bytes(saved.encode(found.plan, found.basis, found.only, found.delete, datetime.now(UTC)))
    except OSError as error:
        raise ConfigError(f"{file} cannot be written: {error.strerror}", remedy="name a file elsewhere") from error


def _read(file: Path) -> saved.SavedPlan:
    try:
        with file.open("rb") as opened:
            return saved.decode(opened.read(saved.MAX_BYTES + 1))
    except OSError as error:
        raise saved.SavedPlanError(f"{file} cannot be read: {error.strerror}") from error
