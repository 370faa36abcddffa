"""A small contract on disk, to be bent by tests."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

from exchange.contract.load import Loaded, load

TODAY = date(2026, 6, 1)

INCOME: list[dict[str, Any]] = [
    {"name": "resident_id", "type": "string"},
    {"name": "year", "type": "int"},
    {"name": "amount", "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}},
    {"name": "status", "type": {"type": "enum", "name": "Status", "symbols": ["filed", "late"]}},
    {"name": "filed_on", "type": ["null", {"type": "int", "logicalType": "date"}], "default": None},
]

CONTRACT = """\
version: 1
departments:
  - id: tax
    title: {zh: 税务局, en: Tax}
    credit_code: 11440100MBX03FA1XC
  - id: civil
    title: {zh: 民政局, en: Civil affairs}
    credit_code: 11440100MBX02FA1XL
subjects:
  - name: income
    owner: tax
    title: {zh: 收入, en: Income}
    schema: schemas/tax/income.avsc
    entity: {field: resident_id, kind: person}
    share: conditional
grants:
  - id: g1
    subject: tax.income
    reader: civil
    purpose: {code: aid, basis: Regulation 1, text: To verify an income.}
    fields: [resident_id, amount]
    from: 2026-01-01
    until: 2026-12-31
"""


def write(
    folder: Path, contract: str = CONTRACT, fields: list[dict[str, Any]] | None = None, **more: list[dict[str, Any]]
) -> Path:
    """Write the contract and its schemas (`more`: other files under schemas/tax); return the contract's path."""
    schemas = folder / "schemas" / "tax"
    schemas.mkdir(parents=True, exist_ok=True)
    for name, each in {"income": fields or INCOME, **more}.items():
        definition = {"type": "record", "name": name.title(), "namespace": "tax", "fields": each}
        (schemas / f"{name}.avsc").write_text(json.dumps(definition), encoding="utf-8")
    path = folder / "topics.yaml"
    path.write_text(contract, encoding="utf-8")
    return path


def loaded(folder: Path, contract: str = CONTRACT, fields: list[dict[str, Any]] | None = None) -> Loaded:
    """The contract as `exchange apply` loads it."""
    return load(write(folder, contract, fields), TODAY)
