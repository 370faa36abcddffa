"""Puts planted cases into the city: applications as CSV, and what each department knows, into its own tables."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa

from exchange import private
from exchange.cases.batch import COLUMNS
from exchange.connect.database import translated
from exchange.demo.city.applicants import APPLICANTS
from exchange.demo.city.households import HOUSEHOLDS
from exchange.demo.city.ids import credit_codes, resident_ids
from exchange.demo.city.office import Office
from exchange.demo.city.own_tables import HOME, KNOWN, OWN_TABLES
from exchange.demo.city.plant import canary
from exchange.demo.city.planted import REGION, PlantedCase, Rows

PLANTED: Mapping[str, tuple[PlantedCase, ...]] = {"civil-affairs": HOUSEHOLDS, "transport": APPLICANTS}
"""The cases of each department that asks."""
REGISTERS_OF_ALL = {"police": False, "market": True}
"""Departments that know every party, by whether these are units."""
DATA_OF = date(2025, 6, 29)
"""The day of which the departments' data are."""
_UNUSED = 400
"""The city's own residents and companies have lower numbers."""


def applications(home: Path, department: str) -> Path:
    """The path of the file with the applications that came to that department."""
    return home / "city" / "applications" / f"{department}.csv"


def fill(offices: Iterable[Office], home: Path) -> None:
    """Make every department's own tables anew, and the files of applications."""
    for office in offices:
        if office.department in OWN_TABLES:
            _make(office)
    for department, cases in PLANTED.items():
        text = io.StringIO()
        rows = csv.writer(text)
        rows.writerow(COLUMNS)
        for case, ids in _with_ids(cases):
            for n, (party_id, name) in enumerate(zip(ids, case.names, strict=True), 1):
                signed = f"{case.case_no}-{n}" if case.authorised else ""
                rows.writerow((case.case_no, case.type, REGION, case.day, party_id, name, signed))
        path = applications(home, department)
        private.folder(path.parent)
        private.write(path, text.getvalue().encode())


def correct(office: Office, case: PlantedCase) -> None:
    """Replace what was wrong in the tables of this department."""
    [(_, ids)] = [each for cases in PLANTED.values() for each in _with_ids(cases) if each[0] is case]
    for name, rows in case.corrected.items():
        if HOME[name] != office.department:
            continue
        table = OWN_TABLES[office.department][name]
        with translated(f"{office.department}: {name}"), office.engine.begin() as connection:
            connection.execute(sa.delete(table).where(table.c.party_id.in_(ids)))
            connection.execute(sa.insert(table), _rows({name: rows}, name, ids))


def _make(office: Office) -> None:
    known: dict[str, str] = {}
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in OWN_TABLES[office.department]}
    for cases in PLANTED.values():
        for case, ids in _with_ids(cases):
            for name in found:
                rows = _rows(case.rows, name, ids)
                found[name] += rows
                known |= {row["party_id"]: "" for row in rows}
            if REGISTERS_OF_ALL.get(office.department) is case.is_unit:
                known |= dict.fromkeys(ids, "")
            for n, (party_id, name) in enumerate(zip(ids, case.names, strict=True), 1):
                if party_id in known:
                    known[party_id] = case.known_as.get((office.department, n), name)
    remark = canary("own", office.department)
    found[KNOWN] = [
        {"party_id": party_id, "name": name, "day": DATA_OF, "remark": remark} for party_id, name in known.items()
    ]
    with translated(f"{office.department}: its own tables"), office.engine.begin() as connection:
        for name, table in OWN_TABLES[office.department].items():
            table.drop(connection, checkfirst=True)
            table.create(connection)
            if found[name]:
                connection.execute(sa.insert(table), found[name])


def _rows(rows: Rows, name: str, ids: list[str]) -> list[dict[str, Any]]:
    """The rows of that table as columns, with the ids of the parties."""
    columns = [column.name for column in OWN_TABLES[HOME[name]][name].columns] if name in HOME else []
    found = [dict(zip(columns, row, strict=True)) for row in rows.get(name, ())]
    return [{**row, "party_id": ids[row["party_id"] - 1]} for row in found]


def _with_ids(cases: Iterable[PlantedCase]) -> Iterator[tuple[PlantedCase, list[str]]]:
    """Each case with the ids of its parties."""
    for case in cases:
        number = 10 * int(case.case_no[-2:]) + (0 if case.type == "household" else 5)
        size = len(case.names)
        if case.is_unit:
            yield case, credit_codes(size, first=31**6 - 1 - number)
        else:
            births = np.datetime64("1970-01-01") + np.arange(size) + 100 * number
            yield case, resident_ids(births, np.ones(size, int), np.random.default_rng(number), _UNUSED)
