"""The example of a case type, in a folder of connectors, and a contract that lets its questions and answers pass."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Mapping
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Any

from exchange.cases.case_type import CaseType
from exchange.cases.load import load
from exchange.contract.model import Contract
from tests.rigs.own_tables import CONNECTORS

TODAY = date(2026, 6, 1)
# Well-formed credit codes that belong to nobody.
CODES = {
    "civil-affairs": "11440100MBX02FA1XL",
    "tax": "11440100MBX03FA1XC",
    "social-security": "11440100MBX04FA1X4",
    "housing-fund": "12440100MBX05FA1XQ",
    "police": "11440100MBX01FA1XW",
    "planning": "11440100MBX06FA1XK",
    "market": "11440100MBX07FA1XB",
    "disabled": "13440100MBX10FA1XH",
    "health": "11440100MBX11FA1XF",
    "banking": "11440100MBX17FA1XX",
    "securities": "11440100MBX18FA1XM",
    "education": "11440100MBX19FA1XD",
    "justice": "11440100MBX20FA1XA",
    "court": "11440100MBX21FA1X2",
    "veterans": "11440100MBX22FA1XR",
    "religion": "11440100MBX23FA1XH",
}
ASKED = tuple(CODES)[1:]
TITLE = {"zh": "测试", "en": "Test"}


def connectors(folder: Path) -> Path:
    """A folder of connectors with a copy of the example, to be bent by tests."""
    cases = Path("civil-affairs", "cases")
    shutil.copytree(CONNECTORS / cases, folder / "connectors" / cases)
    return folder / "connectors"


def household_file(connectors: Path) -> Path:
    """The file of the example's case type in that folder."""
    return connectors / "civil-affairs" / "cases" / "household.yaml"


def household(folder: Path) -> CaseType:
    """The example's case type, loaded from a copy in that folder."""
    return load(connectors(folder), "civil-affairs", "household", contract(), TODAY)


def grant(subject: str, reader: str, **changes: Any) -> dict[str, Any]:
    """A grant of the subject's records that are for that reader."""
    purpose = {"code": "household", "basis": "Interim Measures 2014, art. 58", "text": "Questions and answers."}
    base = {"id": f"{subject}.{reader}", "subject": subject, "reader": reader, "purpose": purpose, "fields": "all"}
    days = {"from": date(2026, 1, 1), "until": date(2099, 12, 31)}
    return {**base, **days, "where": {"to": {"eq": reader}}, **changes}


def contract(*, without: tuple[str, ...] = (), **changes: dict[str, Any]) -> Contract:
    """Civil affairs asks, the others answer.

    `without` leaves out grants and subjects; `changes` bends grants, each by its id in words with underscores.
    """
    return Contract.model_validate(_said(without, changes))


def write_contract(folder: Path, *, without: tuple[str, ...] = ()) -> Path:
    """The same as a file, with schemas beside it."""
    for subject in (each["schema"] for each in _said()["subjects"]):
        schema = folder / subject
        schema.parent.mkdir(parents=True, exist_ok=True)
        fields = [{"name": name, "type": "string"} for name in ("question_id", "to", "party_id")]
        schema.write_text(json.dumps({"type": "record", "name": schema.stem, "fields": fields}))
    path = folder / "topics.yaml"
    path.write_text(json.dumps(_said(without), default=str))
    return path


def _said(
    without: Collection[str] = (), changes: Mapping[str, dict[str, Any]] = MappingProxyType({})
) -> dict[str, Any]:
    subjects = ["civil-affairs.question", *(f"{department}.answer" for department in ASKED)]
    grants = [grant("civil-affairs.question", department) for department in ASKED]
    grants += [grant(f"{department}.answer", "civil-affairs") for department in ASKED]
    return {
        "version": 1,
        "departments": [{"id": one, "title": TITLE, "credit_code": code} for one, code in CODES.items()],
        "subjects": [_subject(each) for each in subjects if each not in without],
        "grants": [
            {**each, **changes.get(each["id"].replace(".", "_").replace("-", "_"), {})}
            for each in grants
            if not {each["id"], each["subject"]} & set(without)
        ],
    }


def _subject(subject: str) -> dict[str, Any]:
    owner, name = subject.split(".")
    return {
        "name": name,
        "owner": owner,
        "title": TITLE,
        "schema": f"schemas/{owner}/{name}.avsc",
        "entity": {"field": "party_id", "kind": "person"},
        "key": ["party_id", "question_id"],
        "share": "conditional",
    }
