"""`exchange grant quota`: what grants may still deliver today."""

from __future__ import annotations

import click

from exchange import names
from exchange.bus.connection import connect
from exchange.cli.grant_desk import complete_grant, with_desk
from exchange.cli.options import output_option, show_json
from exchange.cli.table import table
from exchange.grants.desk import Desk
from exchange.router.quota_day import QuotaDay, quotas_of


@click.command()
@click.argument("grant_id", metavar="[GRANT]", required=False, shell_complete=complete_grant)
@output_option
@with_desk
def quota(desk: Desk, grant_id: str | None, output: str) -> None:
    """What grants with a quota have delivered today, and what remains; for all of them, or for one.

    A department sees what it reads and what others read of it, under its own login. The data authority, or whoever
    names no department, sees all grants, as exchange.admin.

    The numbers count records that were delivered, including replays and tombstones. The day is the city's
    (Asia/Shanghai), by the broker's clock. Claimed records are those that a router has set apart: no other router
    delivers them, and after a failure the same router uses them again.
    """
    department = "" if desk.department == desk.settings.authority else desk.department
    cluster = connect(desk.settings, "exchange.grant", department or names.ADMIN_PRINCIPAL)
    found = quotas_of(cluster, desk.now, department=department, grant_id=grant_id)
    rows = [_row(one) for one in found]
    if output == "json":
        show_json(rows)
    else:
        columns = ("grant", "subject", "reader", "day", "per_second", "per_day", "delivered", "claimed", "remaining")
        table(columns, [tuple("" if row[name] is None else row[name] for name in columns) for row in rows])


def _row(one: QuotaDay) -> dict[str, str | int | None]:
    grant = one.grant
    return {
        "grant": grant.id,
        "subject": grant.subject,
        "reader": grant.reader,
        "day": one.day.isoformat(),
        "per_second": grant.quota.records_per_second,
        "per_day": grant.quota.records_per_day,
        "delivered": one.delivered,
        "claimed": one.claimed,
        "remaining": one.remaining,
    }
