"""`exchange grant notify`: for cron; what people should be told today."""

from __future__ import annotations

import logging
import sys
from functools import partial
from pathlib import Path

import click

from exchange import logs
from exchange.cli.grant_desk import with_desk
from exchange.cli.options import output_option, show_json
from exchange.grants import notices
from exchange.grants.desk import Desk
from exchange.grants.notices import Notice
from exchange.workdays import read_calendar

_log = logging.getLogger("exchange.grants")


@click.command()
@output_option
@click.option("--metrics-file", type=click.Path(dir_okay=False, path_type=Path), help="For a textfile collector.")
@with_desk
def notify(desk: Desk, output: str, metrics_file: Path | None) -> None:
    """Give notice of grants 90, 45, 30 and 7 days before they end, and count requests that wait or are overdue.

    Run it daily; a second run repeats no notice. Notices go to standard output, for a mail or a ticket, and to
    the log on standard error.
    """
    logs.configure(desk.settings.log_level)
    with desk.store() as store:
        found = desk.standings(store)
        notices.give(store, found, desk.now, partial(_tell, output=output))
    if metrics_file:
        notices.measure(metrics_file, found, read_calendar(desk.settings.holidays).known_until)


def _tell(told: list[Notice], output: str) -> None:
    for one, days in told:
        grant = one.grant
        _log.info(f"notice of {days} days", extra={"grant": grant.id, "reader": grant.reader, "subject": grant.subject})
        if output == "text":
            click.echo(
                f"Grant {grant.id} of {grant.reader} for {grant.subject} ends on {grant.until}, in {one.days_left} "
                f"days: `exchange grant renew {grant.id} --until …`, or let it end."
            )
    if output == "json":
        rows = [
            {
                "grant": one.grant.id,
                "reader": one.grant.reader,
                "subject": one.grant.subject,
                "until": one.grant.until.isoformat(),
                "days_left": one.days_left,
                "notice_days": days,
            }
            for one, days in told
        ]
        show_json(rows)
    sys.stdout.flush()
