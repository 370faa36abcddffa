"""What readers hold, as their connectors report it: per reader and subject of the contract, and of former grants."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from exchange.bus.connection import Cluster
from exchange.bus.topics import read_all
from exchange.contract.model import Contract, Epoch
from exchange.contract.period import city_day, delivering, end_of, in_force
from exchange.copies import Copy, copies
from exchange.epochs import interruptions
from exchange.names import cursor_topic

SILENT = timedelta(minutes=10)  # a connector that runs reports every five


@dataclass(frozen=True)
class CopyStatus:
    """What one reader holds of one subject, as last reported at `reported`; None: never.

    `grant` is the one under which it holds the rows; `is_in_force`: whether a grant gives it the subject now.
    `deletion` is "due" or "done", or empty if none is asked for; `since` is when it fell due or was done.
    `is_silent`: nothing was reported for `SILENT`, or never. `stuck`: rows that have to go and are there still, because
    the reader's database refuses to remove them.
    """

    reader: str
    subject: str
    grant: str
    is_in_force: bool
    rows: int | None
    changed: datetime | None
    deletion: str
    since: datetime | None
    reported: datetime | None
    is_silent: bool
    stuck: int


def held_copies(
    cluster: Cluster, epoch: Epoch, now: datetime, *, reader: str | None = None, subject: str | None = None
) -> list[CopyStatus]:
    """The copies of all departments of the contract and of earlier ones, by reader and subject."""
    departments = {department.id for department in epoch.contract.departments} | set(epoch.former or ())
    reports = {name: _reports(cluster, name) for name in sorted(departments) if reader in (None, name)}
    there = {(grant.reader, grant.subject) for grant in epoch.contract.grants}
    revoked = {(name, copy.subject) for name, ofs in reports.items() for copy in ofs} - there
    # The connector may have seen neither the last grant nor what that said at last.
    ceased = interruptions(cluster, revoked, now)
    for name, ofs in reports.items():
        ofs[:] = [
            copy.model_copy(update={"deletes": last.deletes}) if (last := ceased.get((name, copy.subject))) else copy
            for copy in ofs
        ]
    return [one for one in compare(epoch.contract, reports, now) if subject in (None, one.subject)]


def compare(contract: Contract, reports: Mapping[str, Iterable[Copy]], now: datetime) -> list[CopyStatus]:
    """What the departments with these reports hold, and what they ought to report under the contract."""
    reported = {(reader, copy.subject): copy for reader, ofs in reports.items() for copy in ofs}
    granted = {(g.reader, g.subject) for g in contract.grants if g.reader in reports and g.from_ <= city_day(now)}
    given = {(grant.reader, grant.subject) for grant in in_force(contract, now)}
    return [
        _held(contract, *place, reported.get(place), now, is_in_force=place in given)
        for place in sorted(granted | reported.keys())
    ]


def _held(
    contract: Contract, reader: str, subject: str, copy: Copy | None, now: datetime, *, is_in_force: bool
) -> CopyStatus:
    grant = delivering(contract, subject, reader, now)
    if grant is not None and grant.from_ > city_day(now):
        grant = None
    deletion, since = "", None
    if copy is not None and copy.due is not None:
        deletion, since = ("due", copy.due) if copy.done is None else ("done", copy.done)
    if not is_in_force and deletion != "done":
        if grant is not None:  # the contract knows better than a report what the grant asks for
            deletes = grant.deletes(contract.subject(subject))
            deletion, since = ("due", end_of(grant.until)) if deletes else ("", None)
        elif copy is not None and copy.deletes and not deletion:
            deletion = "due"
    return CopyStatus(
        reader=reader,
        subject=subject,
        grant=copy.grant or "" if copy is not None else grant.id if grant is not None else "",
        is_in_force=is_in_force,
        rows=copy.rows if copy else None,
        changed=copy.changed if copy else None,
        deletion=deletion,
        since=since,
        reported=copy.time if copy else None,
        is_silent=copy is None or now - copy.time > SILENT,
        stuck=copy.stuck if copy else 0,
    )


def _reports(cluster: Cluster, department: str) -> list[Copy]:
    records: dict[bytes, bytes] = {}
    for record in read_all(cluster, cursor_topic(department)):
        if record.key is not None and record.value is not None:
            records[record.key] = record.value
    return copies(records)
