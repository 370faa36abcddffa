"""The places at which routers cannot go on, according to Kafka itself, whether routers run or not."""

from __future__ import annotations

from exchange import names
from exchange.bus import Cluster
from exchange.bus.consume import gaps_of_group
from exchange.contract.epoch import accepts
from exchange.epochs import Published
from exchange.gap import Gap


def open_gaps(cluster: Cluster, found: Published | None) -> tuple[Gap, ...]:
    """The gaps between what the routers have committed and what Kafka keeps that nobody accepted in that epoch."""
    if found is None:
        return ()
    epoch = found.epoch
    topics = [names.subject_topic(subject.id) for subject in epoch.contract.subjects]
    there = gaps_of_group(cluster, names.ROUTER_GROUP, topics, epoch.topic_ids)
    return tuple(gap for gap in there if not accepts(epoch, gap))
