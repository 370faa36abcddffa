"""One step of the router: every record ends, for each grant, as exactly one of delivered, withheld, quarantined."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from hashlib import blake2b

import pytest

from exchange.contract.model import Quota
from exchange.ledger.entry import NULL_TAG, Span, tag
from exchange.ledger.merkle import EMPTY_ROOT, digest_leaf, merkle_root
from exchange.policy.pseudonyms import NoPseudonymKeyError, reader_key
from exchange.records.hashes import PSEUDONYM
from exchange.router.quarantine import MAX_RECORD_BYTES
from exchange.router.ready import make_ready
from exchange.schema.avro import Schema
from exchange.schema.project import project
from tests.rigs.routing import (
    FIRST_VIEW,
    KEY,
    NEW,
    NOW,
    OLD,
    PSEUDONYM_KEY,
    SCHEMAS,
    Written,
    batch,
    epoch,
    grant,
    route,
    value,
    view_schema,
    wire,
)

WHOLE = grant("whole")
NARROW = grant("narrow", fields=("year", "cents"))
NAMED = grant("named", fields=("id", "year"))
LOCAL = grant("local", where={"district": {"prefix": "4401"}})


def records(*values: bytes | None, key: bytes | None = b"440101") -> list[Written]:
    return [(1000 + i, key, v, []) for i, v in enumerate(values)]


def root(given: list[Written]) -> bytes:
    return merkle_root([digest_leaf(key, v) for _, key, v, _ in given])


def test_whole_records_are_the_same_bytes_with_their_headers_and_times() -> None:
    given = [(5, b"k", value(), [("trace", b"1"), ("h", b"")]), (3, None, value(OLD), [])]
    routed = route(epoch(WHOLE), [batch(given)])
    assert routed.inboxes == {"inbox.whole.office.income": given}
    [outcome] = routed.step.entry.outcomes
    assert (outcome.delivered, outcome.withheld, outcome.digest) == (2, (), root(given))
    assert outcome.size_bytes == sum(len(k or b"") + len(v or b"") for _, k, v, _ in given)
    assert routed.step.entry.root == root(given)


def test_a_projecting_view_has_no_headers_and_no_key_that_it_does_not_give() -> None:
    given = [(5, b"440101", value(year=2024, cents=9), [("secret", b"440101")])]
    routed = route(epoch(NARROW, NAMED), [batch(given)])
    under = epoch(NARROW, NAMED)
    views = {g: under.views[g] for g in ("narrow", "named")}
    narrow = wire(views["narrow"], {"year": 2024, "cents": 9}, _view("year", "cents"))
    named = wire(views["named"], {"id": "440101", "year": 2024}, _view("id", "year"))
    assert routed.inboxes == {
        "inbox.narrow.office.income": [(5, None, narrow, [])],
        "inbox.named.office.income": [(5, b"440101", named, [])],
    }
    for outcome, delivered in zip(routed.step.entry.outcomes, routed.inboxes.values(), strict=True):
        assert outcome.digest == root(delivered)


def test_a_replay_is_marked_on_every_delivery_and_in_the_entry() -> None:
    given = [(5, b"440101", value(year=2024, cents=9), [("h", b"own")]), (6, b"440102", None, [])]
    mark = ("exchange-replay", b"r-1")
    for one, headers in ((WHOLE, [[("h", b"own"), mark], [mark]]), (NARROW, [[mark]])):
        live, again = (route(epoch(one), [batch(given)], replay=replay) for replay in (None, "r-1"))
        [(topic, delivered)] = again.inboxes.items()
        assert [record[3] for record in delivered] == headers
        assert [record[:3] for record in delivered] == [record[:3] for record in live.inboxes[topic]]
        assert again.step.entry == replace(live.step.entry, replay="r-1")


def test_a_replay_sets_nothing_aside_again() -> None:
    live, again = (route(epoch(WHOLE), [batch(records(b"junk"))], replay=replay) for replay in (None, "r-1"))
    assert (len(live.quarantine), again.quarantine) == (1, [])
    assert again.step.entry.quarantined == live.step.entry.quarantined


def test_pseudonyms_stand_for_the_person_in_field_and_key() -> None:
    masks = {"id": "pseudonym", "district": {"kind": "partial", "first": 2}}
    here, there = (grant(name, fields=("id", "district"), masks=masks) for name in ("here", "there"))
    given = records(value(OLD), value(NEW, district=None), key=b"440101") + records(value(id="440102"), key=b"440102")
    given += records(value(), key=None) + records(None)
    under = epoch(here, there)
    routed = route(under, [batch(given)])
    seen = []
    for reader in ("here", "there"):
        key = reader_key(PSEUDONYM_KEY, reader, 0)
        first, second = (
            blake2b(p, digest_size=16, key=key, person=PSEUDONYM).hexdigest() for p in (b"440101", b"440102")
        )
        rows = [(first, "44**"), (first, None), (second, "44**"), (first, "44**")]
        schema = view_schema(here, ())
        due = [wire(under.views[reader], {"id": i, "district": d}, schema) for i, d in rows]
        keys = [first.encode(), first.encode(), second.encode(), None]
        inbox = routed.inboxes[f"inbox.{reader}.office.income"]
        assert [(k, v) for _, k, v, _ in inbox] == list(zip(keys, due, strict=True))
        assert routed.outcome(reader) == {4: "tombstone"}
        [outcome] = [o for o in routed.step.entry.outcomes if reader in o.grants]
        assert outcome.digest == root(inbox)
        seen.append(first)
    assert seen[0] != seen[1]
    rotated = route(epoch(here, rotation=1), [batch(given)]).inboxes["inbox.here.office.income"]
    assert rotated[0][1] not in (seen[0].encode(), None)


def test_a_masked_entity_leaves_no_key() -> None:
    masked = grant("masked", masks={"id": {"kind": "partial", "last": 2}})
    [record] = route(epoch(masked), [batch([(5, b"440101", value(), [("h", b"440101")])])]).inboxes.popitem()[1]
    assert record[1] is None
    assert record[3] == []
    assert b"440101" not in (record[2] or b"")


def test_pseudonyms_without_a_key_are_refused() -> None:
    under = epoch(grant("here", masks={"id": "pseudonym"}))
    with pytest.raises(NoPseudonymKeyError):
        make_ready(under, "office.income", NOW)


def test_a_new_field_waits_until_a_grant_names_it() -> None:
    before = tuple(SCHEMAS[OLD].fields)
    named = grant("named", fields=(*before, "note"))
    given = [(5, b"k", value(OLD), [("h", b"")]), (6, b"k", value(NEW, note="secret"), [("h", b"")])]
    under = epoch(WHOLE, named, known=before)
    routed = route(under, [batch(given)])
    person = {"id": "440101", "year": 2025, "district": "4401", "cents": 7}
    old = wire(under.views["whole"], person, _view(*before))
    assert routed.inboxes["inbox.whole.office.income"] == [(5, b"k", old, []), (6, b"k", old, [])]
    notes = [person | {"note": note} for note in ("none", "secret")]
    due = [wire(under.views["named"], each, _view(*before, "note")) for each in notes]
    assert [v for _, _, v, _ in routed.inboxes["inbox.named.office.income"]] == due


def _view(*fields: str) -> Schema:
    return project(SCHEMAS[NEW], fields)


def test_grants_with_one_view_share_one_outcome_and_its_batches() -> None:
    routed = route(epoch(WHOLE, grant("second")), [batch(records(value()))])
    assert [o.grants for o in routed.step.entry.outcomes] == [("whole", "second")]
    assert routed.inboxes["inbox.whole.office.income"] == routed.inboxes["inbox.second.office.income"]


def test_a_filter_withholds_with_a_bitmap() -> None:
    given = records(*(value(district=d) for d in ["4401", "44", None, "440106", "", *["4401"] * 5]))
    routed = route(epoch(LOCAL), [batch(given)])
    assert routed.outcome("local") == {1: "filter", 2: "filter", 4: "filter"}
    [withheld] = routed.step.entry.outcomes[0].withheld
    assert withheld.bitmap == bytes([0b0001_0110, 0])
    kept = [r for i, r in enumerate(given) if i not in (1, 2, 4)]
    assert routed.inboxes["inbox.local.office.income"] == kept
    assert routed.step.entry.outcomes[0].digest == root(kept)


def test_nothing_delivered_has_the_empty_digest_and_no_batch() -> None:
    routed = route(epoch(LOCAL), [batch(records(value(district="3100"), value(district=None)))])
    [outcome] = routed.step.entry.outcomes
    assert (outcome.delivered, outcome.size_bytes, outcome.digest) == (0, 0, EMPTY_ROOT)
    assert [w.bitmap for w in outcome.withheld] == [None]
    assert routed.inboxes == {}


def test_a_filter_that_cannot_be_evaluated_withholds() -> None:
    asked = grant("asked", where={"note": {"eq": "n"}})
    routed = route(epoch(asked), [batch(records(value(NEW), value(OLD), value(NEW, note="other")))])
    assert routed.outcome("asked") == {1: "unevaluable", 2: "filter"}


def test_a_view_gives_the_default_of_a_field_that_an_older_writer_lacks() -> None:
    asked = grant("asked", fields=("note",))
    routed = route(epoch(asked), [batch(records(value(OLD), value(NEW, note="x")))])
    wanted = [wire(FIRST_VIEW, {"note": note}, _view("note")) for note in ("none", "x")]
    assert [v for _, _, v, _ in routed.inboxes["inbox.asked.office.income"]] == wanted


def test_tombstones_go_only_to_views_with_the_key_and_no_filter() -> None:
    given = records(value(), None)
    routed = route(epoch(WHOLE, NARROW, NAMED, LOCAL), [batch(given)])
    assert {g: routed.outcome(g) for g in ("whole", "narrow", "named", "local")} == {
        "whole": {},
        "narrow": {1: "tombstone"},
        "named": {},
        "local": {1: "tombstone"},
    }
    assert routed.inboxes["inbox.whole.office.income"][1] == given[1]
    assert routed.inboxes["inbox.named.office.income"][1] == (1001, b"440101", None, [])
    assert len(routed.inboxes["inbox.narrow.office.income"]) == 1


def test_a_record_without_key_is_routed_and_has_no_tag() -> None:
    routed = route(epoch(WHOLE, NAMED), [batch(records(value(), key=None) + records(value(), key=b""))])
    assert routed.step.entry.tags == NULL_TAG + tag(b"", KEY)
    assert [key for _, key, _, _ in routed.inboxes["inbox.named.office.income"]] == [None, b""]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"", "wire-header"),
        (b"\0\0\0\0", "wire-header"),
        (b"\1" + value()[1:], "wire-header"),
        (b"\0\xff\xff\xff\xff", "wire-header"),
        (b"{}", "wire-header"),
        (b"\0\0\0\0\4" + value()[5:], "schema-id"),
        (b"\0\0\0\0\5", "truncated"),
        (value()[:-1], "length"),
        (value() + b"\0", "trailing-bytes"),
        (value(OLD) + value(NEW)[5:], "trailing-bytes"),
        (b"\0\0\0\0\5\4\xff\xff" + value()[7:], "utf-8"),
    ],
)  # fmt: skip
def test_a_bad_record_is_quarantined_for_everyone_and_the_others_go_on(bad: bytes, reason: str) -> None:
    given = records(value(), bad, value(district="1"))
    routed = route(epoch(WHOLE, NARROW, LOCAL), [batch(given, base_offset=70)])
    [quarantined] = routed.step.entry.quarantined
    assert (quarantined.index, quarantined.offset, quarantined.reason) == (1, 71, reason)
    assert routed.inboxes["inbox.whole.office.income"] == [given[0], given[2]]
    assert routed.outcome("local") == {2: "filter"}
    place = b"subject.office.income/1/71"
    assert routed.quarantine == [(1001, b"440101", bad, [("reason", reason.encode()), ("source", place)])]


def test_a_record_that_is_too_large_is_set_aside_without_content() -> None:
    large = value(note="x" * MAX_RECORD_BYTES)
    routed = route(epoch(WHOLE), [batch(records(value(), large), codec=1)])
    assert [q.reason for q in routed.step.entry.quarantined] == ["record-size"]
    assert [(k, v) for _, k, v, _ in routed.quarantine] == [(None, None)]
    assert len(routed.inboxes["inbox.whole.office.income"]) == 1


def test_a_batch_that_cannot_be_opened_is_quarantined_record_by_record() -> None:
    packed = batch(records(value(), value(), value()), codec=1, base_offset=20)
    data = bytearray(packed.data)
    data[70:90] = bytes(20)
    broken = packed._replace(data=memoryview(bytes(data)))
    good = batch(records(value()), base_offset=10)
    routed = route(epoch(WHOLE), [good, broken])
    assert [(q.offset, q.reason) for q in routed.step.entry.quarantined] == [(o, "batch-codec") for o in (20, 21, 22)]
    assert len(routed.inboxes["inbox.whole.office.income"]) == 1
    assert [v for _, _, v, _ in routed.quarantine] == [None] * 3


@pytest.mark.parametrize("codec", [0, 1, 2, 3, 4])
def test_every_codec_gives_the_same_entry_and_deliveries(codec: int) -> None:
    given = [(i, b"k%d" % i, value(cents=i), []) for i in range(50)]
    routed = route(epoch(WHOLE, NARROW), [batch(given[:20], codec, 5), batch(given[20:], codec, 40)])
    assert routed.inboxes["inbox.whole.office.income"] == given
    assert routed.step.entry.runs == (Span(5, 20), Span(40, 30))
    assert routed.step.entry.root == root(given)


def test_a_batch_that_began_before_the_committed_offset_is_cut() -> None:
    given = records(*(value(cents=i) for i in range(5)))
    routed = route(epoch(WHOLE), [batch(given, base_offset=10)._replace(from_offset=13)])
    assert routed.inboxes["inbox.whole.office.income"] == given[3:]
    assert routed.step.entry.runs == (Span(13, 2),)


def test_without_a_grant_in_force_nothing_goes_out_but_everything_is_in_the_ledger() -> None:
    over = grant("over", until=date(2026, 5, 31))
    now = datetime(2026, 5, 31, 16, tzinfo=UTC)  # midnight in the city
    given = records(value(), b"junk")
    routed = route(epoch(over), [batch(given)], now)
    assert (routed.step.entry.outcomes, routed.inboxes, routed.step.entry.count) == ((), {}, 2)
    assert len(routed.quarantine) == 1
    before = route(epoch(over), [batch(given)], now - timedelta(seconds=1))
    assert before.inboxes == {"inbox.over.office.income": given[:1]}


def test_the_entry_says_under_what_it_was_decided() -> None:
    entry = route(epoch(WHOLE, number=12), [batch(records(value()))]).step.entry
    assert (entry.epoch, entry.router, entry.topic, entry.partition) == (12, "r1", "subject.office.income", 1)
    assert entry.tags == tag(b"440101", KEY)


def test_a_quota_delivers_the_first_records_and_withholds_the_excess() -> None:
    where = {"district": {"prefix": "4401"}}
    limited = grant("limited", where=where, quota={"records_per_day": 9})
    given = records(value(), None, value(district="31"), value(), value(), b"junk", value())
    asked: list[tuple[str, int]] = []

    def allow(name: str, quota: Quota, count: int) -> int:
        assert quota == Quota(records_per_day=9)
        asked.append((name, count))
        return 2

    routed = route(epoch(WHOLE, limited, grant("free", where=where)), [batch(given)], allow=allow)
    assert asked == [("limited", 4)]
    assert routed.outcome("limited") == {1: "tombstone", 2: "filter", 4: "quota", 6: "quota"}
    assert routed.inboxes["inbox.limited.office.income"] == [given[0], given[3]]
    assert routed.inboxes["inbox.free.office.income"] == [given[i] for i in (0, 3, 4, 6)]
    assert routed.outcome("whole") == {}


def test_a_quota_that_is_used_up_withholds_all() -> None:
    limited = grant("limited", quota={"records_per_second": 1})
    routed = route(epoch(limited), [batch(records(value(), value()))], allow=lambda *_: 0)
    assert routed.outcome("limited") == {0: "quota", 1: "quota"}
    assert routed.inboxes == {}
