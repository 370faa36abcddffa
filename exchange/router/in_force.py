"""The epoch that a router works under, and what it does with each subject's records meanwhile."""

from __future__ import annotations

import logging
from datetime import datetime

from exchange import names
from exchange.epochs import Published
from exchange.errors import ExchangeError
from exchange.router.ready import ReadySubject, make_ready
from exchange.router.suspended import Cause

_log = logging.getLogger("exchange.router")


class InForce:
    """What one published epoch means for a router; what it does with a subject is made when it is asked for.

    `partitions` says how many each subject's topic has, `readers` who reads under each grant; `limited` are the
    grants with a quota. `unready` tells of the topics of subjects that cannot be made ready: they are left aside.
    """

    def __init__(self, published: Published, pseudonym_key: bytes) -> None:
        self.published = published
        self.epoch = published.epoch
        contract = self.epoch.contract
        self.partitions = {names.subject_topic(each.id): each.topic.partitions for each in contract.subjects}
        self.readers = {grant.id: grant.reader for grant in contract.grants}
        self.limited = [grant for grant in contract.grants if grant.quota.is_limited]
        self.unready: dict[str, Cause] = {}
        self._pseudonym_key = pseudonym_key
        self._ready: dict[str, ReadySubject] = {}

    def at(self, topic: str, now: datetime) -> ReadySubject | None:
        """What is done with the records of the topic's subject at that moment; None if it cannot be made ready."""
        subject, ready = names.subject_of(topic), self._ready.get(topic)
        if topic in self.unready:
            return None
        if ready is None or not ready.holds_at(now):
            try:
                ready = self._ready[topic] = make_ready(self.epoch, subject, now, self._pseudonym_key)
            except Exception as error:  # of whatever kind: it is this subject's, and no reason to stop the others
                self.unready[topic] = _unready(subject, error)
                _log.exception("a subject cannot be made ready", extra={"subject": subject})
                return None
        return ready


def _unready(subject: str, error: Exception) -> Cause:
    remedy = f"mend the schema or the grants of {subject}, then `exchange apply`"
    why = type(error).__name__
    if isinstance(error, ExchangeError):
        why, remedy = error.message, error.remedy or remedy
    return Cause("subject-unready", f"what is granted of {subject} cannot be made: {why}", remedy, passing=False)
