"""Makes the city: fills every register in its department's database, once."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from exchange import private
from exchange.contract.base import Model
from exchange.contract.load import Loaded
from exchange.demo.city import casework
from exchange.demo.city.civil import CIVIL
from exchange.demo.city.office import Office, OfficeError, SubjectRows
from exchange.demo.city.organisations import ORGANISATIONS
from exchange.demo.city.persons import PERSONS
from exchange.demo.city.plant import BROKEN_LINES, plant, rejected
from exchange.demo.city.register import City
from exchange.errors import ConfigError

VERSION: Literal[3] = 3
REGISTERS = PERSONS + CIVIL + ORGANISATIONS
Report = Callable[[str, int], None]
"""Called after each chunk with the subject and the number of rows added."""


class OtherCityError(ConfigError):
    """The databases hold something other than the requested city."""

    code = "other-city"
    remedy = "name other databases in the connectors; or --force to replace the tables"


class Held(Model):
    """What one register holds: `rows` in the table, and the ids of `bad` ones.

    `records` is how many its connector must have published, and `rejected` how many rows it must have rejected;
    `updated` and `deleted` count the changes since it was made.
    """

    rows: int
    bad: tuple[int, ...]
    records: int
    rejected: int
    updated: int = 0
    deleted: int = 0


class Tally(Model):
    """A multiset of rows as its size and the sum of the rows' hashes, so that the order does not matter."""

    rows: int = 0
    digest: int = 0


class Life(Model):
    """What came after the first delivery: the time of all changes, and what readers held of grants that ended then.

    `complete` is set only after the last change.
    """

    at: datetime
    ended: Mapping[str, Tally]
    complete: bool = False


class Manifest(Model):
    """Which city the databases hold; `complete` is set only after the last row."""

    version: Literal[3] = VERSION
    seed: int
    records: int
    complete: bool
    witness: str
    registers: Mapping[str, Held] = {}
    life: Life | None = None

    @property
    def rows(self) -> int:
        """The rows of all registers together."""
        return sum(held.rows for held in self.registers.values())

    @property
    def published(self) -> int:
        """The records that all connectors together must have published."""
        return sum(held.records for held in self.registers.values())

    @property
    def updated(self) -> int:
        """The rows that got other values since the city was made."""
        return sum(held.updated for held in self.registers.values())

    @property
    def deleted(self) -> int:
        """The rows that were deleted since the city was made."""
        return sum(held.deleted for held in self.registers.values())


def manifest_path(home: Path) -> Path:
    """The path of the manifest of the city under `home`."""
    return home / "city" / "city.json"


def read_manifest(home: Path) -> Manifest | None:
    """The manifest under `home`; None if no city was made yet, or another version made it."""
    try:
        return Manifest.model_validate(json.loads(manifest_path(home).read_text()))
    except (OSError, ValueError, ValidationError):
        return None


def offices(loaded: Loaded, connectors: Path, home: Path) -> list[Office]:
    """The departments that publish something, each with its database."""
    contract = loaded.contract
    subjects = [(subject, loaded.schemas[subject.id]) for subject in contract.subjects]
    owners = dict.fromkeys(subject.owner for subject in contract.subjects)
    found = [Office(owner, connectors, home, subjects) for owner in owners]
    missing = {r.subject for r in REGISTERS} - {subject for office in found for subject in office.desks}
    if missing:
        raise OfficeError(f"no connector publishes {', '.join(sorted(missing))}", remedy="add it to a connector.yaml")
    return found


def make(
    loaded: Loaded, connectors: Path, home: Path, *, records: int, seed: int, force: bool, report: Report
) -> tuple[Manifest, bool]:
    """Make the city in the departments' databases; the second value says whether it was made just now.

    The same seed and size give the same rows. If this city exists already, it is left alone; another city, or tables of
    unknown origin, raise `OtherCityError` unless `force`.
    """
    found = offices(loaded, connectors, home)
    before = read_manifest(home)
    if before is not None and before.complete and (before.seed, before.records) == (seed, records) and not force:
        if _stands(found, before):
            return before, False
    elif not force:
        _refuse_other(found, before)
    city = City.draw(records, seed)
    manifest = Manifest(seed=seed, records=records, complete=False, witness=city.people.ids[city.witness])
    write_manifest(home, manifest)
    held = {}
    for register in REGISTERS:
        office = next(o for o in found if register.subject in o.desks)
        desk = office.desks[register.subject]
        subject, schema = loaded.contract.subject(register.subject), loaded.schemas[register.subject]
        office.clear(desk)
        rows, bad = 0, []
        for columns in register.chunks(city):
            bad += plant(subject, schema, columns, rows)
            office.insert(desk, columns)
            if desk.drop and not desk.is_full:
                office.deliver(desk, columns, BROKEN_LINES)
            rows += len(columns["id"])
            report(register.subject, len(columns["id"]))
        office.index(desk)
        if desk.is_full:
            office.drop(desk, f"{desk.subject}.csv", office.columns(desk, None), BROKEN_LINES)
        refused = rejected(bad, csv=desk.drop is not None, full=desk.is_full)
        held[register.subject] = Held(rows=rows, bad=tuple(bad), records=rows - len(bad), rejected=refused)
    casework.fill(found, home)
    manifest = manifest.model_copy(update={"complete": True, "registers": held})
    write_manifest(home, manifest)
    return manifest, True


def _stands(found: list[Office], manifest: Manifest) -> bool:
    if manifest.life is not None and not manifest.life.complete:
        return True  # it is in the midst of a change
    return all(office.rows(desk) == manifest.registers[desk.subject].rows for office, desk in _of_registers(found))


def _refuse_other(found: list[Office], before: Manifest | None) -> None:
    if before is not None and not before.complete:
        return
    if before is not None:
        raise OtherCityError(
            f"the databases hold a city of {before.records} records with seed {before.seed}",
            remedy=f"--records {before.records} --seed {before.seed}; or --force, together with a new broker",
        )
    for office, desk in _of_registers(found):
        if office.rows(desk):
            raise OtherCityError(f"table {desk.table.name} of {office.department} has rows that no city made")


def _of_registers(found: list[Office]) -> list[tuple[Office, SubjectRows]]:
    """The desks of the registers; questions and answers of cases are not made here."""
    subjects = {register.subject for register in REGISTERS}
    return [(office, desk) for office in found for desk in office.desks.values() if desk.subject in subjects]


def write_manifest(home: Path, manifest: Manifest) -> None:
    """Write the manifest of the city under `home`."""
    path = manifest_path(home)
    private.folder(path.parent)
    private.write(path, manifest.model_dump_json(indent=1).encode())
