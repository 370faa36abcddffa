"""What happens in the city: the same for the same seed, each row at most once, and few enough deletions."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from exchange.connect.config import SourceConfig
from exchange.connect.roll_call import FEW_ROWS
from exchange.demo.city.happenings import DELETIONS, HAPPENINGS, LEFT_BY_THE_DEAD, Planned, dead, planned
from exchange.demo.city.make import REGISTERS
from exchange.demo.city.register import City

BRAKE = SourceConfig.model_fields["brake"].default


@pytest.fixture(scope="module", params=[5_000, 60_000])
def city(request: pytest.FixtureRequest) -> City:
    return City.draw(request.param, 1)


def spared(city: City) -> dict[str, list[int]]:
    """Two rows of each register, or one where there are few."""
    return {r.subject: [row for row in (2, 32) if row <= len(r.who(city))] for r in REGISTERS}


def plans(city: City) -> dict[str, Planned]:
    keep = spared(city)
    died = dead(city, REGISTERS, keep)
    return {r.subject: planned(city, r, died, keep[r.subject]) for r in REGISTERS}


def test_the_same_changes_however_often_they_are_asked_for(city: City) -> None:
    assert plans(city) == plans(city)


def test_no_row_changes_twice_and_spared_ones_not_at_all(city: City) -> None:
    for subject, plan in plans(city).items():
        changed = [row for ids, _ in plan.updates for row in ids] + list(plan.deleted)
        assert len(set(changed)) == len(changed), subject
        assert not set(changed) & set(spared(city)[subject]), subject


def test_there_are_changes_of_every_kind(city: City) -> None:
    found = plans(city)
    assert {subject for subject, plan in found.items() if plan.updated} == {
        happening.subject for happening in HAPPENINGS
    }
    assert {s for s, plan in found.items() if plan.deleted} >= DELETIONS.keys()
    assert [s for s, plan in found.items() if plan.sold] == ["police.vehicle"]


def test_the_dead_leave_no_row_behind_where_rows_are_deleted(city: City) -> None:
    died, found = dead(city, REGISTERS, spared(city)), plans(city)
    assert city.witness not in died
    assert len(died) > 0
    for register in REGISTERS:
        theirs = np.flatnonzero(np.isin(register.who(city), died)) + 1
        if register.subject in LEFT_BY_THE_DEAD:
            assert set(theirs.tolist()) <= set(found[register.subject].deleted), register.subject


def test_a_sold_car_has_another_owner(city: City) -> None:
    register = next(r for r in REGISTERS if r.subject == "police.vehicle")
    plan, who = plans(city)[register.subject], register.who(city)
    for ids, columns in plan.updates:
        if "resident_id" in columns:
            before = [city.people.ids[who[row - 1]] for row in ids]
            assert list(ids) == list(plan.sold)
            assert all(a != b for a, b in zip(before, columns["resident_id"], strict=True))


def test_so_many_deletions_at_once_need_no_person(city: City) -> None:
    """A sold car's old row counts as deleted, too."""
    rows = Counter({register.subject: len(register.who(city)) for register in REGISTERS})
    for subject, plan in plans(city).items():
        gone = len(plan.deleted) + len(plan.sold)
        assert gone < FEW_ROWS or gone < BRAKE * rows[subject], subject
