"""The places at which routers cannot go on, according to Kafka itself, whether routers run or not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from exchange import names
from exchange.bus import Cluster
from exchange.bus.consume import Consumer
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


def gaps_of_group(
    cluster: Cluster, group: str, topics: Iterable[str], topic_ids: Mapping[str, str] = MappingProxyType({})
) -> tuple[Gap, ...]:
    """The gaps that the group would meet in these topics, by its committed offsets.

    If it has committed nothing in a partition, the topic must have its id in `topic_ids`.
    """
    with Consumer(cluster, group=group) as consumer:
        places = [(topic, partition) for topic in topics for partition in consumer.partitions(topic)]
        return consumer.gaps(places, topic_ids)
