"""What `connector check` is tried on: a contract of two departments, and a connector with a small table."""

from __future__ import annotations

import json
import sqlite3
from datetime import date
from pathlib import Path

from exchange.connect import load
from exchange.connect.check import check
from exchange.connect.database import Paths
from exchange.contract.load import Loaded
from exchange.contract.model import Contract
from exchange.document.problem import Problem
from exchange.schema import avro

INCOME = avro.parse(
    json.dumps(
        {
            "type": "record",
            "name": "Income",
            "fields": [
                {"name": "resident_id", "type": "string"},
                {"name": "year", "type": "int"},
                {"name": "note", "type": ["null", "string"], "default": None},
            ],
        }
    )
)
SOURCE = """\
department: tax
database: sqlite:///tax.db
sources:
  - subject: tax.income
    table: income
    cursor: {time: at, id: id}
    columns: {resident_id: id_no}
"""
TITLE = {"zh": "税", "en": "Tax"}
CONTRACT = Contract.model_validate(
    {
        "version": 1,
        "departments": [
            {"id": "tax", "title": TITLE, "credit_code": "11440100MBX01FA1XW"},
            {"id": "civil", "title": TITLE, "credit_code": "11440100MBX02FA1XL"},
        ],
        "subjects": [
            {
                "name": "income",
                "owner": owner,
                "title": TITLE,
                "schema": "x.avsc",
                "entity": {"field": "resident_id", "kind": "person"},
                "key": ["resident_id"],
                "share": "open",
            }
            for owner in ("tax", "civil")
        ],
        "grants": [
            {
                "id": "g1",
                "subject": "civil.income",
                "reader": "tax",
                "purpose": {"code": "p", "basis": "b", "text": "t"},
                "fields": ["resident_id", "note"],
                "masks": {"note": {"kind": "partial", "first": 1}},
                "from": date(2025, 1, 1),
                "until": date(2025, 12, 31),
            }
        ],
    }
)
LOADED = Loaded(CONTRACT, {"tax.income": INCOME, "civil.income": INCOME}, ())


def problems(folder: Path, text: str, loaded: Loaded = LOADED) -> list[Problem]:
    connector = folder / "tax"
    connector.mkdir(exist_ok=True)
    (connector / "connector.yaml").write_text(text)
    with sqlite3.connect(connector / "tax.db") as database:
        database.execute("CREATE TABLE IF NOT EXISTS income (id INTEGER, id_no TEXT, year INTEGER, at TEXT)")
        database.execute("DELETE FROM income")
        rows = [(1, "a", 2024, "2025-01-01 00:00:00"), (2, "b", None, "2025-01-01 00:00:01"), (3, "c", 2024, None)]
        database.executemany("INSERT INTO income VALUES (?, ?, ?, ?)", rows)
    database.close()
    try:
        found = load.load(folder, "tax")
    except load.ConnectorConfigError as error:
        return list(error.problems)
    return check(found, loaded, Paths(found.folder, folder))
