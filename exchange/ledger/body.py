"""Ledger entries as Avro, and what has to hold of one that was read."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from exchange.errors import CorruptionError
from exchange.gap import Gap
from exchange.ledger.entry import SCHEMA_FILE, TAG_BYTES, Entry, Outcome, Quarantined, Span, Withdrawn, Withheld
from exchange.schema import avro

_1970 = datetime(1970, 1, 1, tzinfo=UTC)
_OF_ENTITIES = b"\0"
"""In place of row tags that are those of the entities: most subjects have one row an entity."""


class EntryError(CorruptionError):
    """A ledger entry that cannot be read, or whose sums do not balance."""

    code = "ledger-entry"
    remedy = "find out who else may write the ledger topic"


@cache
def _versions() -> tuple[avro.Schema, ...]:
    """The schema, newest first, without each field that was appended later.

    Fields are only ever appended, with a default: what was written before is the beginning of what is
    written now, so that a body is whole under one version only.
    """
    newest = avro.load(SCHEMA_FILE)
    fields = newest.definition["fields"]
    appended = sum("default" in field for field in fields)
    ends = range(len(fields), len(fields) - appended - 1, -1)
    return tuple(avro.parse(json.dumps({**newest.definition, "fields": fields[:end]})) for end in ends)


def encode(entry: Entry) -> bytes:
    """The entry's Avro body; `schema.wire` puts the schema id before it."""
    return avro.encode(
        _versions()[0],
        {
            "epoch": entry.epoch,
            "router": entry.router,
            "time": _1970 + timedelta(milliseconds=entry.time_ms),
            "topic": entry.topic,
            "partition": entry.partition,
            "runs": [{"first": span.first, "count": span.count} for span in entry.runs],
            "count": entry.count,
            "root": entry.root,
            "tags": entry.tags,
            "outcomes": [
                {
                    "grants": outcome.grants,
                    "delivered": outcome.delivered,
                    "bytes": outcome.size_bytes,
                    "digest": outcome.digest,
                    "withheld": [{"reason": w.reason, "count": w.count, "bitmap": w.bitmap} for w in outcome.withheld],
                }
                for outcome in entry.outcomes
            ],
            "quarantined": [{"index": q.index, "offset": q.offset, "reason": q.reason} for q in entry.quarantined],
            "replay": entry.replay,
            "gap": entry.gap
            and {
                "first": entry.gap.first,
                "next": entry.gap.next,
                "cause": entry.gap.cause,
                "topic_id": entry.gap.topic_id,
                "accepted": entry.gap_accepted,
            },
            "row_tags": _OF_ENTITIES if entry.row_tags and entry.row_tags == entry.tags else entry.row_tags,
            "withdrawn": [
                {"outcome": i, "reason": w.reason, "count": w.count, "bitmap": w.bitmap, "records": w.records}
                for i, outcome in enumerate(entry.outcomes)
                for w in outcome.withdrawn
            ],
        },
    )


def decode(body: bytes | memoryview) -> Entry:
    """The entry of an Avro body, of whatever version wrote it; `EntryError` if the body is not one."""
    raw = _record(body)
    gap = dict(raw.get("gap") or {})
    accepted = gap.pop("accepted", False)
    withdrawn: list[list[Withdrawn]] = [[] for _ in raw["outcomes"]]
    for each in raw.get("withdrawn", ()):
        outcome = each.pop("outcome")
        if not 0 <= outcome < len(withdrawn):
            raise EntryError("a ledger entry has withdrawals for an outcome that it does not have")
        withdrawn[outcome].append(Withdrawn(**each))
    return Entry(
        epoch=raw["epoch"],
        router=raw["router"],
        time_ms=_milliseconds(raw["time"]),
        topic=raw["topic"],
        partition=raw["partition"],
        runs=tuple(Span(**span) for span in raw["runs"]),
        count=raw["count"],
        root=raw["root"],
        tags=raw["tags"],
        outcomes=tuple(
            Outcome(
                grants=tuple(outcome["grants"]),
                delivered=outcome["delivered"],
                size_bytes=outcome["bytes"],
                digest=outcome["digest"],
                withheld=tuple(Withheld(**withheld) for withheld in outcome["withheld"]),
                withdrawn=tuple(gone),
            )
            for outcome, gone in zip(raw["outcomes"], withdrawn, strict=True)
        ),
        quarantined=tuple(Quarantined(**quarantined) for quarantined in raw["quarantined"]),
        replay=raw.get("replay"),
        gap=Gap(topic=raw["topic"], partition=raw["partition"], **gap) if gap else None,
        gap_accepted=accepted,
        row_tags=raw["tags"] if raw.get("row_tags") == _OF_ENTITIES else raw.get("row_tags", b""),
    )


def _record(body: bytes | memoryview) -> dict[str, Any]:
    failure: avro.DecodeError | None = None
    for version in _versions():
        try:
            return avro.decode(version, body)
        except avro.DecodeError as error:
            failure = failure or error
    raise EntryError("a ledger record is not a ledger entry") from failure


def _milliseconds(time: datetime) -> int:
    return (time - _1970) // timedelta(milliseconds=1)


def validate_entry(entry: Entry) -> None:
    """Raise `EntryError` unless every record of the entry has exactly one outcome for each view.

    Runs ascend and sum to the count; there is one tag per record; delivered, withheld, withdrawn and
    quarantined sum to the count; bitmaps are as long as the entry, hold as many bits as they
    count, and overlap neither each other nor the quarantined records. A replay speaks of one grant.
    An entry of a gap covers no records.
    """
    _check(sum(span.count for span in entry.runs) == entry.count, entry, "runs do not sum to the count")
    _check(all(span.count > 0 and span.first >= 0 for span in entry.runs), entry, "a run is empty or negative")
    ascending = all(a.first + a.count <= b.first for a, b in zip(entry.runs, entry.runs[1:], strict=False))
    _check(ascending, entry, "runs overlap or are out of order")
    _check(len(entry.tags) == TAG_BYTES * entry.count, entry, "tags do not match the count")
    _check(len(entry.row_tags) in (0, len(entry.tags)), entry, "row tags do not match the count")
    quarantined = 0
    for bad in entry.quarantined:
        _check(0 <= bad.index < entry.count and not quarantined >> bad.index & 1, entry, "a quarantined index is wrong")
        _check(bad.offset == entry.offset(bad.index), entry, "a quarantined offset is not that of its index")
        quarantined |= 1 << bad.index
    grants = [grant for outcome in entry.outcomes for grant in outcome.grants]
    _check(len(grants) == len(set(grants)), entry, "a grant has two outcomes")
    _check(entry.replay is None or len(grants) == 1, entry, "a replay is not of one grant")
    _check(entry.gap is None or not (entry.count or grants), entry, "an entry of a gap covers records")
    for outcome in entry.outcomes:
        for reasons in ([w.reason for w in outcome.withheld], [w.reason for w in outcome.withdrawn]):
            _check(len(reasons) == len(set(reasons)), entry, "a reason is given twice")
        _validate_outcome(entry, outcome, quarantined)


def _validate_outcome(entry: Entry, outcome: Outcome, quarantined: int) -> None:
    parts: tuple[Withheld | Withdrawn, ...] = (*outcome.withheld, *outcome.withdrawn)
    total = outcome.delivered + sum(part.count for part in parts) + len(entry.quarantined)
    _check(total == entry.count, entry, "delivered, withheld, withdrawn and quarantined do not sum to the count")
    _check(not outcome.withdrawn or bool(entry.row_tags), entry, "rows are withdrawn, but not known")
    _check(outcome.delivered >= 0 and len(outcome.digest) == 32, entry, "an outcome is malformed")
    taken = quarantined
    everything = (1 << entry.count) - 1
    for part in parts:
        if part.bitmap is None:
            bits = everything & ~quarantined
        else:
            _check(len(part.bitmap) == (entry.count + 7) // 8, entry, "a bitmap is not as long as the entry")
            bits = int.from_bytes(part.bitmap, "little")
        _check(bits & ~everything == 0 and bits.bit_count() == part.count, entry, "a bitmap does not hold its count")
        _check(bits & taken == 0, entry, "a record has two outcomes")
        taken |= bits


def _check(holds: bool, entry: Entry, fault: str) -> None:
    if not holds:
        place = f"{entry.topic}/{entry.partition} from offset {entry.runs[0].first if entry.runs else '?'}"
        raise EntryError(f"ledger entry for {place}: {fault}")
