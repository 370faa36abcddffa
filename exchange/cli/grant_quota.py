"""`exchange grant quota`: what grants may still deliver today."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, date, datetime

import click

from exchange import names
from exchange.bus.connection import connect
from exchange.bus.log import Log
from exchange.cli.grant_desk import Desk, complete_grant, with_desk
from exchange.cli.table import table
from exchange.contract.model import Grant
from exchange.contract.quota import CLAIMS, USES, Claims, day_from_ms, decode_claim, decode_use
from exchange.epochs import latest_epoch
from exchange.errors import ConfigError


class NoQuotaError(ConfigError):
    """The contract in force has no such grant, or it has no quota."""

    code = "no-quota"
    remedy = "see `exchange grant list`"


@click.command()
@click.argument("grant_id", metavar="[GRANT]", required=False, shell_complete=complete_grant)
@click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@with_desk
def quota(desk: Desk, grant_id: str | None, output: str) -> None:
    """What grants with a quota have delivered today, and what remains; of all of them, or of one.

    A department is told of what it reads and of what others read of it, under its own login; the data authority,
    or who names no department, of all grants, as exchange.admin.

    Counted are records that were delivered, replays and tombstones included. The day is the city's
    (Asia/Shanghai), by the broker's clock. Claimed is what routers have set apart: no other router
    gives it, and after a failure the same one uses it again.
    """
    department = "" if desk.department == desk.settings.authority else desk.department
    cluster = connect(desk.settings, "exchange.grant", department or names.ADMIN_PRINCIPAL)
    found = latest_epoch(cluster)
    grants = [
        grant
        for grant in (found.epoch.contract.grants if found else ())
        if grant.quota.is_limited
        and grant_id in (None, grant.id)
        and department in ("", grant.reader, grant.subject.partition(".")[0])
    ]
    if grant_id and not grants:
        whose = f" of {department}" if department else ""
        message = f"the contract in force has no grant {grant_id}{whose} with a quota"
        raise NoQuotaError(message)
    day, since_ms = desk.today, day_from_ms(desk.now)
    claims, used = Claims(), Counter[str]()
    if grants:
        with Log(cluster, names.QUOTA, CLAIMS, since_ms=since_ms) as log:
            for record in log.read_to(log.end()):
                moment = datetime.fromtimestamp(record.timestamp_ms / 1000, UTC)
                claims.take(decode_claim(record.value or b""), moment)
        with Log(cluster, names.QUOTA, USES, since_ms=since_ms) as log:
            for record in log.read_to(log.end()):
                use = decode_use(record.value or b"")
                used[use.grant] += use.records if use.day == day else 0
    rows = [_row(grant, day, used[grant.id], claims.claimed(grant.id, day)) for grant in grants]
    if output == "json":
        click.echo(json.dumps(rows, ensure_ascii=False, indent=2))
    else:
        columns = ("grant", "subject", "reader", "day", "per_second", "per_day", "delivered", "claimed", "remaining")
        table(columns, [tuple("" if row[name] is None else row[name] for name in columns) for row in rows])


def _row(grant: Grant, day: date, delivered: int, claimed: int) -> dict[str, str | int | None]:
    per_day = grant.quota.records_per_day
    return {
        "grant": grant.id,
        "subject": grant.subject,
        "reader": grant.reader,
        "day": day.isoformat(),
        "per_second": grant.quota.records_per_second,
        "per_day": per_day,
        "delivered": delivered,
        "claimed": claimed,
        "remaining": None if per_day is None else max(0, per_day - claimed),
    }
