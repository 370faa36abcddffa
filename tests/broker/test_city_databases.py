"""The city in SQLite and PostgreSQL: made once, left alone, and compared with what readers hold."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from exchange.contract.load import Loaded, load
from exchange.contract.model import Grant
from exchange.demo.city.expect import Expectations
from exchange.demo.city.live import live
from exchange.demo.city.make import (
    REGISTERS,
    Life,
    Manifest,
    OtherCityError,
    make,
    manifest_path,
    offices,
    read_manifest,
    write_manifest,
)
from exchange.demo.city.plant import BROKEN_LINES

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 1, 1, tzinfo=UTC)
RECORDS = 4_000
SEED = 3  # of a city in which each of the grants below loses a row


@pytest.fixture
def loaded() -> Loaded:
    return load(ROOT / "topics.yaml", date(2026, 1, 1))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def connectors(tmp_path: Path, postgres_database: str) -> Path:
    """The repo's connectors, the tax department's on PostgreSQL."""
    folder = tmp_path / "connectors"
    shutil.copytree(ROOT / "connectors", folder)
    file = folder / "tax" / "connector.yaml"
    file.write_text(file.read_text().replace("sqlite:///${home}/city/tax.db", postgres_database))
    return folder


def city(
    loaded: Loaded, connectors: Path, home: Path, records: int = RECORDS, force: bool = False
) -> tuple[Manifest, bool]:
    return make(loaded, connectors, home, records=records, seed=SEED, force=force, report=lambda *_: None)


def counts(loaded: Loaded, connectors: Path, home: Path) -> dict[str, int | None]:
    """The rows of each register."""
    desks = [(office, desk) for office in offices(loaded, connectors, home) for desk in office.desks.values()]
    registers = {register.subject for register in REGISTERS}
    return {desk.subject: office.rows(desk) for office, desk in desks if desk.subject in registers}


def test_a_second_run_leaves_the_city_alone(loaded: Loaded, connectors: Path, home: Path) -> None:
    manifest, made = city(loaded, connectors, home)
    before = counts(loaded, connectors, home)
    assert made
    assert before == {subject: held.rows for subject, held in manifest.registers.items()}
    assert city(loaded, connectors, home) == (manifest, False)
    assert counts(loaded, connectors, home) == before


def test_another_size_needs_force(loaded: Loaded, connectors: Path, home: Path) -> None:
    city(loaded, connectors, home)
    with pytest.raises(OtherCityError):
        city(loaded, connectors, home, records=2 * RECORDS)
    manifest, made = city(loaded, connectors, home, records=2 * RECORDS, force=True)
    assert made
    assert manifest.rows > 1.5 * RECORDS


def test_rows_of_unknown_origin_are_not_touched(loaded: Loaded, connectors: Path, home: Path) -> None:
    city(loaded, connectors, home)
    manifest_path(home).unlink()
    with pytest.raises(OtherCityError):
        city(loaded, connectors, home)


def test_an_interrupted_city_is_made_anew(loaded: Loaded, connectors: Path, home: Path) -> None:
    class Interrupted(Exception):
        pass

    def report(subject: str, rows: int) -> None:
        if subject == "tax.income-return":
            raise Interrupted

    with pytest.raises(Interrupted):
        make(loaded, connectors, home, records=RECORDS, seed=SEED, force=False, report=report)
    manifest, made = city(loaded, connectors, home)
    assert made
    assert read_manifest(home) == manifest
    assert counts(loaded, connectors, home) == {subject: held.rows for subject, held in manifest.registers.items()}


def test_drops_hold_the_rows_and_the_broken_lines(loaded: Loaded, connectors: Path, home: Path) -> None:
    manifest, _ = city(loaded, connectors, home)
    for subject, encoding in (("ecology.penalty", "gb18030"), ("disabled.disability-card", "utf-8")):
        files = list((home / "city" / "drops" / subject).glob("*.csv"))
        lines = [line for file in files for line in file.read_text(encoding).splitlines()]
        assert len(lines) == manifest.registers[subject].rows + len(BROKEN_LINES) + len(files)


def test_a_verdict_sees_every_difference(loaded: Loaded, connectors: Path, home: Path) -> None:
    manifest, _ = city(loaded, connectors, home)
    expectations = Expectations(loaded, connectors, home, manifest, NOW)
    grant = next(g for g in expectations.grants if g.id == "credit-returns")
    assert expectations.held_rows(grant) == 0
    assert not expectations.verdict(grant).right

    source = next(o for o in offices(loaded, connectors, home) if o.department == "tax")
    with source.engine.connect() as connection:
        fields = "return_no, credit_code, year, quarter, status, updated_at"
        rows = connection.exec_driver_sql(f"SELECT {fields} FROM enterprise_return WHERE status <> 'filed'").all()
    rows = [row for row in rows if row.status in ("late", "unfiled") and row.year is not None]
    sink = sa.create_engine(f"sqlite:///{home}/city/credit.db")
    with sink.begin() as connection:
        connection.exec_driver_sql(f"CREATE TABLE tax_enterprise_return ({fields})")
        for row in rows:
            moment = row.updated_at.replace(tzinfo=None) - (datetime(2025, 1, 1, 8) - datetime(2025, 1, 1))
            values = (*row[:-1], moment.isoformat(" "))
            connection.exec_driver_sql("INSERT INTO tax_enterprise_return VALUES (?, ?, ?, ?, ?, ?)", values)
    assert expectations.due_rows(grant) == expectations.held_rows(grant) == len(rows) > 1
    assert expectations.verdict(grant).right

    for change in (
        "UPDATE tax_enterprise_return SET quarter = 5 WHERE rowid = 1",
        "DELETE FROM tax_enterprise_return WHERE rowid = 1",
    ):
        with sink.begin() as connection:
            connection.exec_driver_sql(change)
        assert not expectations.verdict(grant).right


class Copies:
    """The readers' tables as a trivial exchange makes them: whole anew, or only with what is added or changed."""

    def __init__(self, loaded: Loaded, connectors: Path, home: Path) -> None:
        self.loaded, self.connectors, self.home = loaded, connectors, home
        self.offices = {d.subject: (o, d) for o in offices(loaded, connectors, home) for d in o.desks.values()}

    def expectations(self, manifest: Manifest) -> Expectations:
        return Expectations(self.loaded, self.connectors, self.home, manifest, NOW)

    def take_in(self, manifest: Manifest, *, forgets: bool) -> None:
        """Take in what the grant gives now; if it `forgets`, rows stay which the grant gave once and gives no more."""
        for grant in self.whole():
            office, desk = self.offices[grant.subject]
            fields = [self.loaded.schemas[grant.subject].fields[name] for name in grant.fields]
            bad = manifest.registers[grant.subject].bad
            query = sa.select(*(desk.table.c[f.name] for f in fields)).where(desk.table.c.id.not_in(bad), desk.there())
            with office.engine.connect() as connection:
                rows = [dict(row._mapping) for row in connection.execute(query)]
            given = [row for row in rows if self.gives(grant, row)]
            sink = sa.create_engine(f"sqlite:///{self.home}/city/{grant.reader}.db")
            columns = (sa.Column(f.name, desk.table.c[f.name].type) for f in fields)
            key = self.loaded.contract.subject(grant.subject).key
            name = grant.subject.replace(".", "_").replace("-", "_")
            table = sa.Table(name, sa.MetaData(), *columns, sa.PrimaryKeyConstraint(*key))
            with sink.begin() as connection:
                if not forgets:
                    table.drop(connection, checkfirst=True)
                table.create(connection, checkfirst=True)
                connection.execute(table.insert().prefix_with("OR REPLACE"), [self.utc(row) for row in given])

    def whole(self) -> list[Grant]:
        """The grants that are as easy to evaluate here as they are to read: one condition at most, no mask."""
        chosen = ("income-vehicle", "quota-vehicle", "income-property", "income-disability", "credit-returns")
        return [grant for grant in self.loaded.contract.grants if grant.id in chosen]

    def gives(self, grant: Grant, row: dict[str, Any]) -> bool:
        conditions = {
            "income-vehicle": lambda: row["status"] in ("normal", "seized"),
            "quota-vehicle": lambda: row["status"] == "normal",
            "income-disability": lambda: row["revoked"] is False,
            "credit-returns": lambda: row["status"] in ("late", "unfiled"),
        }
        return conditions.get(grant.id, lambda: True)()

    def utc(self, row: dict[str, Any]) -> dict[str, Any]:
        return {n: v - timedelta(hours=8) if isinstance(v, datetime) else v for n, v in row.items()}

    def wrong(self, manifest: Manifest) -> set[str]:
        expectations = self.expectations(manifest)
        return {grant.id for grant in self.whole() if not expectations.verdict(grant).right}


def begin(manifest: Manifest) -> Manifest:
    return manifest.model_copy(update={"life": Life(at=NOW, ended={})})


def test_the_check_sees_copies_from_which_nothing_is_withdrawn(loaded: Loaded, connectors: Path, home: Path) -> None:
    manifest, _ = city(loaded, connectors, home)
    copies = Copies(loaded, connectors, home)
    copies.take_in(manifest, forgets=True)
    assert copies.wrong(manifest) == set()

    manifest = live(loaded, connectors, home, begin(manifest), lambda *_: None)
    every = {grant.id for grant in copies.whole()}
    assert copies.wrong(manifest) == every, "nobody has been told yet"
    copies.take_in(manifest, forgets=True)
    assert copies.wrong(manifest) == every, "all changes are told, and no row is withdrawn"
    copies.take_in(manifest, forgets=False)
    assert copies.wrong(manifest) == set()


@pytest.mark.parametrize("after", ["keep", "delete"])
def test_the_check_sees_what_comes_after_the_end_of_a_grant(
    loaded: Loaded, connectors: Path, home: Path, after: str
) -> None:
    manifest, _ = city(loaded, connectors, home)
    copies = Copies(loaded, connectors, home)
    copies.take_in(manifest, forgets=False)
    grant = next(grant for grant in copies.whole() if grant.id == "income-vehicle")
    held = copies.expectations(manifest).verdict(grant).expected
    contract = loaded.contract.model_copy(update={"grants": [g for g in loaded.contract.grants if g.id != grant.id]})
    without = replace(loaded, contract=contract)
    ended = [(grant.model_copy(update={"after": after}), held)]

    def is_right() -> bool:
        expectations = Expectations(without, connectors, home, manifest, NOW, ended=ended)
        return expectations.verdict(expectations.grants[-1]).right

    manifest = live(loaded, connectors, home, begin(manifest), lambda *_: None)
    assert is_right() == (after == "keep")
    copies.take_in(manifest, forgets=False)
    assert not is_right()
    with sa.create_engine(f"sqlite:///{home}/city/{grant.reader}.db").begin() as connection:
        connection.exec_driver_sql("DELETE FROM police_vehicle")
    assert is_right() == (after == "delete")


def test_a_life_that_was_interrupted_goes_on(loaded: Loaded, connectors: Path, home: Path) -> None:
    class Interrupted(Exception):
        pass

    manifest = begin(city(loaded, connectors, home)[0])
    write_manifest(home, manifest)

    def report(subject: str, rows: int) -> None:
        if subject == "planning.property":
            raise Interrupted

    with pytest.raises(Interrupted):
        live(loaded, connectors, home, manifest, report)
    again, made = city(loaded, connectors, home)
    assert (again, made) == (manifest, False)
    lived = live(loaded, connectors, home, again, lambda *_: None)
    assert live(loaded, connectors, home, lived, report) == lived == read_manifest(home)
    assert city(loaded, connectors, home) == (lived, False)
    assert counts(loaded, connectors, home) == {subject: held.rows for subject, held in lived.registers.items()}
    for subject in ("ecology.penalty", "disabled.disability-card"):
        assert len(list((home / "city" / "drops" / subject).glob("*-changes.csv"))) == 1
