"""The fields that tell a subject's rows apart: what they may be, and how they may change."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from exchange.contract.check import Check
from exchange.contract.epoch import resyncing
from exchange.contract.model import Resync
from exchange.document.yaml import read
from exchange.plan.changes import PublishEpoch
from exchange.schema import avro
from tests.rigs.contracts import CONTRACT, INCOME, TODAY, loaded, write
from tests.unit.test_contract_plan import Cluster

ENTITY = "    entity: {field: resident_id, kind: person}\n"
KEYED = CONTRACT.replace(ENTITY, ENTITY + "    key: [resident_id, year]\n")
GRANT = "    fields: [resident_id, amount]\n"


def problems(folder: Path, contract: str) -> list[str]:
    """What `exchange validate` says."""
    path = write(folder, contract)
    check = Check(read(path.read_bytes()), lambda name: avro.load(folder / name), TODAY)
    return [f"{p.severity} {p.path}: {p.message}" for p in check.problems]


@pytest.mark.parametrize(
    ("key", "fault"),
    [
        ("[resident_id, yaer]", "error subjects[0].key[1]: field 'yaer' is not in the schema"),
        ("[resident_id, filed_on]", "error subjects[0].key[1]: filed_on can be null"),
        ("[resident_id, amount]", "error subjects[0].key[1]: amount is of type decimal"),
        ("[resident_id, status]", "error subjects[0].key[1]: status is of type enum"),
        ("[resident_id, year, year]", "error subjects[0].key[2]: field 'year' is given twice"),
        ("[year]", "error subjects[0].key: the key lacks the entity's field 'resident_id'"),
    ],
)
def test_a_key_that_does_not_tell_rows_apart_is_refused(tmp_path: Path, key: str, fault: str) -> None:
    [said, *_] = problems(tmp_path, KEYED.replace("[resident_id, year]", key))
    assert said.startswith(fault)


def test_validate_says_where_a_reader_cannot_tell_rows_apart_by_the_key(tmp_path: Path) -> None:
    [said] = problems(tmp_path, KEYED)
    assert said.startswith("note grants[0]: does not give year of the key in clear: each row comes with a handle")
    assert problems(tmp_path, KEYED.replace(GRANT, "    fields: [resident_id, year]\n")) == []
    masked = KEYED.replace(GRANT, "    fields: all\n    masks: {resident_id: pseudonym}\n")
    assert ["resident_id of the key" in said for said in problems(tmp_path, masked)] == [True]


def refused(cluster: Cluster, folder: Path, contract: str, fields: list[dict[str, Any]] | None = None) -> str:
    """Why the plan is refused."""
    [refusal] = cluster.plan(loaded(folder, contract, fields)).refusals
    return refusal.message


def test_a_published_key_stays_as_it_is(tmp_path: Path) -> None:
    cluster = Cluster()
    cluster.apply(loaded(tmp_path, KEYED))
    assert "holdings.tax.income" in cluster.topics
    other = KEYED.replace("[resident_id, year]", "[resident_id]")
    assert "the key was resident_id, year" in refused(cluster, tmp_path, other)
    assert "the key was resident_id, year" in refused(cluster, tmp_path, CONTRACT)
    more = KEYED.replace("    share: conditional\n", "    share: conditional\n    topic: {partitions: 8}\n")
    assert "rows would be in other partitions" in refused(cluster, tmp_path, more)


def test_a_key_is_in_every_version_of_the_schema(tmp_path: Path) -> None:
    cluster = Cluster()
    without = [field for field in INCOME if field["name"] != "year"]
    cluster.apply(loaded(tmp_path, CONTRACT, without))
    new = [*without, {"name": "year", "type": "int", "default": 0}]
    assert "version 1 of its schema has year otherwise, or not at all" in refused(cluster, tmp_path, KEYED, new)


def resyncs(cluster: Cluster, folder: Path, contract: str) -> list[Resync]:
    """What a changed contract asks the routers to make true."""
    return [
        resync
        for change in cluster.apply(loaded(folder, contract)).changes
        if isinstance(change, PublishEpoch)
        for resync in change.epoch.resyncs
    ]


def test_what_a_grant_gives_otherwise_is_made_true(tmp_path: Path) -> None:
    cluster = Cluster()
    assert resyncs(cluster, tmp_path, KEYED) == []
    narrower = KEYED.replace(GRANT, GRANT + "    where: {year: {ge: 2024}}\n")
    assert resyncs(cluster, tmp_path, narrower) == [Resync(id="g1.epoch-2", grant="g1")]
    fewer = narrower.replace("[resident_id, amount]", "[resident_id]")
    assert resyncs(cluster, tmp_path, fewer)[1:] == [Resync(id="g1.epoch-3", grant="g1", again=True)]
    # Nothing else asks for it, and what was asked for goes over to the grant that follows.
    later = fewer.replace("until: 2026-12-31", "until: 2027-12-31")
    assert len(resyncs(cluster, tmp_path, later)) == 2
    handed_on = resyncs(cluster, tmp_path, later.replace("id: g1", "id: g2"))
    assert [(resync.id, resync.grant) for resync in handed_on] == [("g1.epoch-2", "g2"), ("g1.epoch-3", "g2")]


ALL = {"again": True, "gives": True}


def test_who_had_no_grant_for_a_time_needs_all_rows(tmp_path: Path) -> None:
    """The cluster's day is 2026-06-01."""
    cluster = Cluster()
    ended = KEYED.replace("until: 2026-12-31", "until: 2026-05-31")
    assert resyncs(cluster, tmp_path, KEYED) == []
    assert resyncs(cluster, tmp_path, ended) == []
    assert resyncs(cluster, tmp_path, KEYED) == [Resync(id="g1.epoch-3", grant="g1", **ALL)]
    assert len(resyncs(cluster, tmp_path, KEYED.replace("until: 2026-12-31", "until: 2027-12-31"))) == 1
    paused = KEYED.replace("from: 2026-01-01", "from: 2026-07-01")
    assert resyncs(cluster, tmp_path, paused)[1:] == [Resync(id="g1.epoch-5", grant="g1", **ALL)]
    assert len(resyncs(cluster, tmp_path, paused.replace("until: 2026-12-31", "until: 2027-12-31"))) == 2
    assert resyncs(cluster, tmp_path, KEYED[: KEYED.index("grants:")] + "grants: []\n") == []
    again = KEYED.replace("id: g1", "id: g2")
    assert resyncs(cluster, tmp_path, again) == [Resync(id="g2.epoch-8", grant="g2", **ALL)]
    assert len(resyncs(cluster, tmp_path, again.replace("until: 2026-12-31", "until: 2027-12-31"))) == 1


def test_who_never_had_a_grant_in_force_needs_nothing(tmp_path: Path) -> None:
    cluster = Cluster()
    waiting = KEYED.replace("from: 2026-01-01", "from: 2026-07-01")
    assert resyncs(cluster, tmp_path, waiting) == []
    assert resyncs(cluster, tmp_path, KEYED[: KEYED.index("grants:")] + "grants: []\n") == []
    assert resyncs(cluster, tmp_path, KEYED.replace("id: g1", "id: g2")) == []


def test_what_follows_another_grant_is_compared_with_it(tmp_path: Path) -> None:
    first = KEYED.replace("until: 2026-12-31", "until: 2026-06-30")
    [head, grant] = first.split("grants:\n")
    next_ = grant.replace("id: g1", "id: g2").replace("from: 2026-01-01", "from: 2026-07-01")
    next_ = next_.replace("until: 2026-06-30", "until: 2026-12-31")
    filter_ = "    where: {year: {ge: 2024}}\n"
    for changed, needed in [
        (next_, []),
        (next_.replace(GRANT, GRANT + filter_), [{}]),
        (next_.replace("[resident_id, amount]", "[resident_id]"), [{"again": True}]),
        (next_.replace("from: 2026-07-01", "from: 2026-07-02"), [ALL]),
    ]:
        cluster = Cluster()
        assert resyncs(cluster, tmp_path, KEYED) == []
        both = f"{head}grants:\n{grant}{changed}"
        due = [Resync(id="g2.epoch-2", grant="g2", **need) for need in needed]
        assert resyncs(cluster, tmp_path, both) == due
        assert resyncs(cluster, tmp_path, both.replace("code: aid", "code: other")) == due
        if not needed:  # the first one goes before its last day
            assert resyncs(cluster, tmp_path, head + "grants:\n" + changed) == [
                Resync(id="g2.epoch-4", grant="g2", **ALL)
            ]


def test_records_of_a_subject_without_a_key_are_events(tmp_path: Path) -> None:
    cluster = Cluster()
    cluster.apply(loaded(tmp_path))
    assert resyncs(cluster, tmp_path, CONTRACT.replace(GRANT, GRANT + "    where: {year: {ge: 2024}}\n")) == []


def test_a_resynchronisation_is_asked_for_once(tmp_path: Path) -> None:
    cluster = Cluster()
    cluster.apply(loaded(tmp_path, KEYED))
    assert cluster.epoch is not None
    asked = resyncing(cluster.epoch, Resync(id="r", grant="g1"), datetime(2026, 6, 1, tzinfo=UTC))
    assert asked is not None
    assert asked.number == 2
    assert resyncing(asked, Resync(id="r", grant="g1"), asked.time) is None
