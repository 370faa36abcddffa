"""The city in SQLite and PostgreSQL: made once, left alone, and compared with what readers hold."""

from __future__ import annotations

import shutil
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from exchange.contract.load import Loaded, load
from exchange.demo.city.expect import Expectations
from exchange.demo.city.make import Manifest, OtherCityError, make, manifest_path, offices, read_manifest
from exchange.demo.city.plant import BROKEN_LINES

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 1, 1, tzinfo=UTC)
RECORDS = 3_000


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
    return make(loaded, connectors, home, records=records, seed=1, force=force, report=lambda *_: None)


def counts(loaded: Loaded, connectors: Path, home: Path) -> dict[str, int | None]:
    return {d.subject: o.rows(d) for o in offices(loaded, connectors, home) for d in o.desks.values()}


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
        make(loaded, connectors, home, records=RECORDS, seed=1, force=False, report=report)
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
