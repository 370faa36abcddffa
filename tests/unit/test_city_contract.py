"""The repo's own contract and connectors: in order, and rich enough to show everything."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from stdnum.cn import uscc

from exchange.connect.load import departments
from exchange.connect.load import load as load_connector
from exchange.contract.load import Loaded, load
from exchange.contract.period import in_force
from exchange.contract.terms import GROUPS, Condition

ROOT = Path(__file__).parents[2]
DAY = date(2026, 1, 1)


@pytest.fixture(scope="module")
def loaded() -> Loaded:
    return load(ROOT / "topics.yaml", DAY)


def test_only_the_expired_grant_is_warned_of(loaded: Loaded) -> None:
    warnings = [problem.message for problem in loaded.warnings if problem.severity == "warning"]
    assert ["expired" in message for message in warnings] == [True]


def test_the_contract_is_large_enough(loaded: Loaded) -> None:
    contract = loaded.contract
    assert len(contract.departments) >= 10
    assert len(contract.subjects) >= 15
    assert len(contract.grants) >= 25
    assert all(uscc.is_valid(d.credit_code) for d in contract.departments)
    assert {s.share for s in contract.subjects} == {"open", "conditional", "closed"}


def test_every_field_that_a_grant_names_exists(loaded: Loaded) -> None:
    for grant in loaded.contract.grants:
        fields = loaded.schemas[grant.subject].fields
        assert set(grant.where) <= {*fields, *GROUPS}, grant.id
        assert grant.fields == "all" or set(grant.fields) <= set(fields), grant.id


def test_grants_are_of_every_kind(loaded: Loaded) -> None:
    grants = loaded.contract.grants
    entity = {s.id: s.entity.field for s in loaded.contract.subjects}
    operators = {op for g in grants for c in g.where.values() if isinstance(c, Condition) for op in c.operators()}
    views = [(g.subject, g.fields) for g in grants if g.fields != "all"]
    assert any(g.fields == "all" for g in grants)
    assert any(g.fields != "all" and entity[g.subject] not in g.fields for g in grants)
    assert operators >= {"eq", "ne", "in", "prefix", "ge", "is_null"}
    assert {mask.kind for g in grants for mask in g.masks.values()} >= {"pseudonym", "partial", "year", "month"}
    assert len(set(views)) < len(views), "some readers share a view"
    assert any(g.until < DAY for g in grants)
    assert any(g.from_ > DAY for g in grants)


def test_nobody_may_read_a_closed_subject(loaded: Loaded) -> None:
    closed = {s.id for s in loaded.contract.subjects if s.share == "closed"}
    assert closed
    assert not closed & {g.subject for g in loaded.contract.grants}


def test_every_subject_is_published_and_every_grant_is_taken_in(loaded: Loaded) -> None:
    connectors = {name: load_connector(ROOT / "connectors", name).config for name in departments(ROOT / "connectors")}
    assert set(connectors) == {d.id for d in loaded.contract.departments}
    published = {source.subject for config in connectors.values() for source in config.sources}
    taken = {(name, sink.subject) for name, config in connectors.items() for sink in config.sinks}
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert published == {s.id for s in loaded.contract.subjects}
    assert taken == {(g.reader, g.subject) for g in in_force(loaded.contract, now)}
