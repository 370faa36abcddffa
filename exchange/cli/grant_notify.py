"""`exchange grant notify`: for cron; what people should be told today."""

from __future__ import annotations

import logging
import sys
from collections import Counter
from datetime import date
from pathlib import Path

import click

from exchange import logs, metrics
from exchange.cli.grant_desk import Desk, with_desk
from exchange.cli.options import output_option, show_json
from exchange.contract.period import end_of
from exchange.errors import ConfigError
from exchange.grants.days import read_calendar
from exchange.grants.life import OPEN
from exchange.grants.notices import notice_due
from exchange.grants.standing import Standing

_log = logging.getLogger("exchange.grants")


@click.command()
@output_option
@click.option("--metrics-file", type=click.Path(dir_okay=False, path_type=Path), help="For a textfile collector.")
@with_desk
def notify(desk: Desk, output: str, metrics_file: Path | None) -> None:
    """Tell of each grant that ends in 90, 45, 30 and 7 days, once each, and count requests that wait or are overdue.

    Run it daily; running it twice tells nothing twice. Notices go to standard output, for a mail or a ticket, and to
    the log on standard error.
    """
    logs.configure(desk.settings.log_level)
    with desk.store() as store:
        found = desk.standings(store)
        with store.writing() as writer:
            told = [
                (one, days)
                for one in found
                if one.days_left is not None and (days := notice_due(one.grant.until, desk.today))
                if writer.notice(one.grant.id, one.grant.until, days, desk.now)
            ]
            _tell(told, output)
            # Before the notice is recorded as given: it is better to give one twice than not at all.
            sys.stdout.flush()
    if metrics_file:
        _measure(metrics_file, found, read_calendar(desk.settings.holidays).known_until)


def _tell(told: list[tuple[Standing, int]], output: str) -> None:
    for one, days in told:
        grant = one.grant
        _log.info(f"notice of {days} days", extra={"grant": grant.id, "reader": grant.reader, "subject": grant.subject})
        if output == "text":
            click.echo(
                f"Grant {grant.id} of {grant.reader} for {grant.subject} ends on {grant.until}, in {one.days_left} "
                f"days: `exchange grant renew {grant.id} --until …`, or let it end."
            )
    if output == "json":
        notices = [
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
        show_json(notices)


def _measure(path: Path, found: list[Standing], holidays_known: date) -> None:
    if path.suffix != ".prom":
        raise ConfigError(f"{path} would not be collected", remedy="let its name end in .prom")
    waiting = Counter(one.state for one in found)
    overdue = Counter(one.state for one in found if one.clock and one.clock.overdue)
    for state in OPEN:
        metrics.GRANT_REQUESTS.labels(state).set(waiting[state])
        metrics.GRANT_REQUESTS_OVERDUE.labels(state).set(overdue[state])
    for one in found:
        if one.days_left is not None:
            metrics.GRANT_EXPIRY.labels(one.grant.id).set(end_of(one.grant.until).timestamp())
    metrics.GRANT_HOLIDAYS_KNOWN.set(end_of(holidays_known).timestamp())
    requests = (metrics.GRANT_REQUESTS, metrics.GRANT_REQUESTS_OVERDUE, metrics.GRANT_HOLIDAYS_KNOWN)
    metrics.write_file(path, *requests, metrics.GRANT_EXPIRY)
