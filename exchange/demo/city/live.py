"""Lets the city live: changes and deletes rows in the departments' own tables, and drops the files that say so."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from zoneinfo import ZoneInfo

from exchange.contract.load import Loaded
from exchange.demo.city.happenings import dead, planned
from exchange.demo.city.make import REGISTERS, Held, Manifest, Report, offices, write_manifest
from exchange.demo.city.office import Office, SubjectRows
from exchange.demo.city.register import City


def live(loaded: Loaded, connectors: Path, home: Path, manifest: Manifest, report: Report) -> Manifest:
    """Make every change that is due since the life began; the manifest counts them.

    Safe to run again, even after an interruption: the same rows get the same values and the same time, so that a change
    which is published already is not published again.
    """
    life = manifest.life
    assert life is not None
    if life.complete:
        return manifest
    found = offices(loaded, connectors, home)
    city = City.draw(manifest.records, manifest.seed)
    bad = {subject: held.bad for subject, held in manifest.registers.items()}
    died = dead(city, REGISTERS, bad)
    registers = dict(manifest.registers)
    for register in REGISTERS:
        office = next(o for o in found if register.subject in o.desks)
        desk, held = office.desks[register.subject], registers[register.subject]
        plan = planned(city, register, died, held.bad)
        moment = life.at.astimezone(ZoneInfo(desk.timezone)).replace(tzinfo=None)
        office.change(desk, plan.updates, plan.deleted, moment)
        registers[register.subject] = _lived(office, desk, held, plan.updated, len(plan.sold), len(plan.deleted))
        if desk.drop:
            changed = [row for ids, _ in plan.updates for row in ids]
            _drop(office, desk, changed)
        report(register.subject, plan.updated + len(plan.deleted))
    lived = manifest.model_copy(
        update={"life": life.model_copy(update={"complete": True}), "registers": registers},
    )
    write_manifest(home, lived)
    return lived


def _lived(office: Office, desk: SubjectRows, held: Held, updated: int, sold: int, deleted: int) -> Held:
    """The register's count, with what its connector has to publish and to reject because of the changes."""
    stays = desk.deleted is not None  # such rows stay in the table, and say of themselves that they are deleted
    rows = held.rows - (0 if stays else deleted)
    records, rejected = updated + sold + deleted, held.rejected
    if desk.is_full:  # the new file has every row that is there
        records, rejected = rows - len(held.bad) + deleted, rejected + len(held.bad)
    counts = {"rows": rows, "updated": updated, "deleted": deleted, "records": held.records + records}
    return held.model_copy(update={**counts, "rejected": rejected})


def _drop(office: Office, desk: SubjectRows, changed: Sequence[int]) -> None:
    """Drop a file with the changed rows, or with all rows if each file is the whole register; once."""
    assert desk.drop is not None
    name = f"{desk.subject}-changes.csv"
    if not any(desk.drop.rglob(f"*{name}")):
        office.drop(desk, name, office.columns(desk, None if desk.is_full else changed))
