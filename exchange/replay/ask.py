"""Asks the routers to make true what the reader of a grant holds of a subject with a key, and watches them do it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime

import numpy as np

from exchange import names
from exchange.bus import Cluster
from exchange.bus.connection import BusUnavailableError
from exchange.bus.consume import Consumer
from exchange.bus.topics import TopicAppender
from exchange.contract.epoch import resyncing
from exchange.contract.model import Epoch, Grant, Resync
from exchange.epochs import Newest, NoContractError, publish_next
from exchange.records.scan import scan
from exchange.replay.replay import granted
from exchange.router.held import RESYNC, Progress

_UNCLEAR_S = 60.0  # without any progress


def keyed(epoch: Epoch, grant_id: str, now: datetime) -> Grant | None:
    """The grant, if its subject has a key; NotGrantedError if it is not in force."""
    grant = granted(epoch, grant_id, now)
    return grant if epoch.contract.subject(grant.subject).key else None


def ask(cluster: Cluster, grant: Grant, id_: str | None, *, again: bool, now: datetime) -> Resync:
    """Publish an epoch that has the reader hold all that the grant gives; if it was asked for before, it is that.

    `again` also delivers what the reader already holds. Without an id, every call is a new replay.
    """
    resync = Resync(id=id_ or f"{grant.id}.{now:%Y%m%dT%H%M%S}", grant=grant.id, again=again, gives=True)
    with (
        Consumer(cluster, isolation="read_uncommitted") as consumer,
        TopicAppender(cluster, names.CONTRACT_TOPIC) as out,
    ):
        if publish_next(out, Newest(consumer), lambda epoch: resyncing(epoch, resync, now)) is None:
            raise NoContractError
    return resync


def watch(cluster: Cluster, subject: str, id_: str) -> Iterator[tuple[int, int]]:
    """How far it has come, as (records read, records to read) over all partitions; ends when that is all.

    Raises BusUnavailableError if nothing has happened for a minute.
    """
    source, kept = names.subject_topic(subject), names.holdings_topic(subject)
    with Consumer(cluster) as consumer:
        places = [(source, partition) for partition in consumer.partitions(source)]
        ends = consumer.end_offsets(places)
        consumer.assign({(kept, partition): 0 for partition in consumer.partitions(kept)})
        said, heard = dict.fromkeys((p for (_, p), end in ends.items() if end), Progress(0, 0)), time.monotonic()
        while open_ := [p for p, at in said.items() if not at.until or not at.is_done]:
            found = dict(_found(consumer, id_))
            said |= found
            heard = time.monotonic() if found else heard
            if time.monotonic() - heard > _UNCLEAR_S:
                left = ", ".join(f"{source}/{partition}" for partition in open_)
                raise BusUnavailableError(
                    f"nothing happens at {left}", remedy="see that routers run; it goes on with them"
                )
            yield sum(at.next for at in said.values()), sum(at.until or ends[source, p] for p, at in said.items())


def _found(consumer: Consumer, id_: str) -> Iterator[tuple[int, Progress]]:
    wanted = RESYNC + id_.encode()
    for batch in consumer.poll(0.5):
        run = scan([batch])
        for row in np.flatnonzero(run.keys.length == len(wanted)).tolist():
            [key], [value] = run.keys.at(np.array([row])).tolist(), run.values.at(np.array([row])).tolist()
            if key == wanted and value is not None:
                yield batch.partition, Progress(*json.loads(value))
