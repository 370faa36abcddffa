"""The places at which routers cannot go on, according to Kafka itself, whether routers run or not."""

from __future__ import annotations

from exchange import names
from exchange.bus import Cluster
from exchange.bus.consume import gaps_of_group
from exchange.contract.epoch import accepts
from exchange.contract.model import Epoch
from exchange.gap import Gap


def open_gaps(cluster: Cluster, epoch: Epoch) -> tuple[Gap, ...]:
    """The gaps between the routers' committed offsets and what Kafka keeps, except those that a person accepted."""
    topics = [names.subject_topic(subject.id) for subject in epoch.contract.subjects]
    found = gaps_of_group(cluster, names.ROUTER_GROUP, topics, epoch.topic_ids)
    return tuple(gap for gap in found if not accepts(epoch, gap))
