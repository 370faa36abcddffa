"""The city: the same for the same seed, with valid identifiers and registers that fit together."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from stdnum.cn import ric, uscc

from exchange.contract.load import Loaded, load
from exchange.demo.city.make import REGISTERS
from exchange.demo.city.plant import BROKEN_LINES, CANARY, canary, canary_fields, plant, rejected
from exchange.demo.city.register import City

ROOT = Path(__file__).parents[2]
RECORDS = 30_000
Rows = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def loaded() -> Loaded:
    return load(ROOT / "topics.yaml", date(2026, 1, 1))


@pytest.fixture(scope="module")
def rows() -> Rows:
    return drawn(seed=1)


def drawn(seed: int, records: int = RECORDS) -> Rows:
    city = City.draw(records, seed)
    found: Rows = {}
    for register in REGISTERS:
        found[register.subject] = []
        for columns in register.chunks(city):
            found[register.subject] += [
                dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)
            ]
    return found


def test_same_seed_same_city(rows: Rows) -> None:
    assert drawn(seed=1) == rows


def test_other_seed_other_city(rows: Rows) -> None:
    assert drawn(seed=2)["police.resident"] != rows["police.resident"]


def test_size_is_about_what_was_asked_for(rows: Rows) -> None:
    assert sum(map(len, rows.values())) == pytest.approx(RECORDS, rel=0.1)


def test_every_subject_has_a_register(loaded: Loaded) -> None:
    """Questions and answers of cases excepted, which come into being when somebody asks."""
    subjects = {subject.id for subject in loaded.contract.subjects if subject.name not in ("question", "answer")}
    assert {register.subject for register in REGISTERS} == subjects


def test_identifiers_are_valid_and_distinct(rows: Rows) -> None:
    residents = [row["resident_id"] for row in rows["police.resident"]]
    companies = [row["credit_code"] for row in rows["market.company"]]
    assert all(map(ric.is_valid, residents))
    assert all(map(uscc.is_valid, companies))
    assert len(set(residents)) == len(residents)
    assert len(set(companies)) == len(companies)


def test_resident_ids_tell_birth_and_sex(rows: Rows) -> None:
    for row in rows["police.resident"]:
        assert ric.get_birth_date(row["resident_id"]).isoformat() == row["birth_date"]
        assert (int(row["resident_id"][16]) % 2 == 1) == (row["sex"] == "male")


def test_business_numbers_are_distinct(rows: Rows, loaded: Loaded) -> None:
    for subject, found in rows.items():
        number = next(name for name in loaded.schemas[subject].fields if name.endswith("_no"))
        assert len({row[number] for row in found}) == len(found), subject


def test_everybody_is_registered(rows: Rows) -> None:
    residents = {row["resident_id"] for row in rows["police.resident"]}
    companies = {row["credit_code"] for row in rows["market.company"]}
    for subject, found in rows.items():
        assert {row.get("resident_id") for row in found} <= residents | {None}, subject
        assert {row.get("credit_code") for row in found} <= companies | {None}, subject
    assert {row["legal_rep_id"] for row in rows["market.company"]} <= residents
    assert {row["employer_code"] for row in rows["social-security.contribution"]} <= companies


def test_households_have_one_head_and_few_spouses(rows: Rows) -> None:
    relations: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows["police.resident"]:
        relations[row["household_id"]][row["relation"]] += 1
    assert all(found["head"] == 1 and found["spouse"] <= 1 for found in relations.values())


def test_insured_wage_follows_declared_wage(rows: Rows) -> None:
    declared = {r["resident_id"]: r["wages"] for r in rows["tax.income-return"] if r["year"] == 2024}
    for row in rows["social-security.contribution"]:
        monthly = declared[row["resident_id"]] / 12
        assert row["base"] == pytest.approx(min(max(monthly, 5_500), 27_501), rel=0.05)


def test_assisted_households_earn_little(rows: Rows) -> None:
    households = {row["resident_id"]: row["household_id"] for row in rows["police.resident"]}
    size = Counter(households.values())
    income: Counter[str] = Counter()
    for row in rows["tax.income-return"]:
        if row["year"] == 2024:
            income[households[row["resident_id"]]] += row["wages"]
    poor = [row["household_id"] for row in rows["civil-affairs.assistance"]][1:]  # the first may be the witness
    assert sum(income[h] / size[h] < 12_500 for h in poor) >= len(poor) - 1


def test_rating_falls_with_penalties(rows: Rows) -> None:
    punished = {row["credit_code"] for row in rows["market.penalty"]}
    scores = defaultdict(list)
    for row in rows["credit.rating"]:
        scores[row["credit_code"] in punished].append(row["score"])
    assert sum(scores[True]) / len(scores[True]) < sum(scores[False]) / len(scores[False])


def test_witness_is_in_many_registers(rows: Rows) -> None:
    city = City.draw(RECORDS, 1)
    witness = city.people.ids[city.witness]
    present = [s for s, found in rows.items() if any(row.get("resident_id") == witness for row in found)]
    assert len(present) >= 10


def test_rows_change_after_they_are_made(rows: Rows) -> None:
    for subject, found in rows.items():
        assert all(row["created_at"] <= row["updated_at"] < "2025-07-01" for row in found), subject


def test_nested_fields_are_texts_of_lists(rows: Rows) -> None:
    assert all(json.loads(row["shareholders"])[0]["share_percent"] > 50 for row in rows["market.company"])
    assert all(json.loads(row["members"]) for row in rows["civil-affairs.assistance"])


def test_planted_rows_and_canaries_are_known(loaded: Loaded) -> None:
    register = next(r for r in REGISTERS if r.subject == "tax.income-return")
    columns = next(register.chunks(City.draw(RECORDS, 1)))
    subject, schema = loaded.contract.subject(register.subject), loaded.schemas[register.subject]
    bad = plant(subject, schema, columns, 0)
    assert bad == [12, 32]
    assert [columns["year"][row - 1] for row in bad] == [None, None]
    assert rejected(bad, csv=True, full=False) == len(bad) + len(BROKEN_LINES)
    marked = [text for text in columns["bank_account"] if text and text.startswith(CANARY)]
    assert len(marked) == 20
    assert all(text.startswith(canary(subject.id, "bank_account")) for text in marked)


def test_most_sensitive_subjects_have_a_canary(loaded: Loaded) -> None:
    with_canary = [s.id for s in loaded.contract.subjects if canary_fields(s, loaded.schemas[s.id])]
    assert len(with_canary) >= 12
