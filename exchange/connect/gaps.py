"""What a department does about deliveries that were deleted from an inbox before its connector took them in."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime
from pathlib import Path

from exchange.bus.connection import Cluster
from exchange.bus.consume import Consumer
from exchange.connect.assembly import Assembly
from exchange.connect.database import Paths
from exchange.connect.load import Connector
from exchange.connect.sink_table import SinkTable
from exchange.epochs import latest_epoch
from exchange.errors import ConfigError
from exchange.gap import Gap
from exchange.names import inbox_topic


class NoSinkError(ConfigError):
    """A connector has no sink for that subject, or the sink has no gap."""

    code = "no-sink"
    remedy = "name a subject of the connector's sinks"


def open_gaps(cluster: Cluster, connector: Connector, home: Path, subject: str) -> tuple[Gap, ...]:
    """The gaps at which the sink of that subject waits until a person says how to go on."""
    with closing(_table(cluster, connector, home, subject)) as table:
        return _gaps(cluster, inbox_topic(connector.config.department, subject), table)


def accept(
    cluster: Cluster,
    connector: Connector,
    home: Path,
    gaps: tuple[Gap, ...],
    subject: str,
    person: str,
    reason: str,
    now: datetime,
) -> None:
    """Let the sink go on after these gaps; raises OtherSinkError, having done nothing, if the sink moved meanwhile."""
    with closing(_table(cluster, connector, home, subject)) as table:
        table.pass_over(gaps, person, reason, now)


def _table(cluster: Cluster, connector: Connector, home: Path, subject: str) -> SinkTable:
    config = connector.config
    found = latest_epoch(cluster)
    sinks = {sink.subject: sink for sink in config.sinks}
    if subject not in sinks or found is None:
        remedy = f"it has sinks for: {', '.join(sinks) or 'none'}"
        raise NoSinkError(f"the connector of {config.department} has no sink for {subject}", remedy=remedy)
    parts = Assembly(Paths(connector.folder, home), config.database)
    return parts.table(sinks[subject], found.epoch.contract.subject(subject), ())


def _gaps(cluster: Cluster, topic: str, table: SinkTable) -> tuple[Gap, ...]:
    with Consumer(cluster) as consumer:
        now = consumer.topic_ids([topic]).get(topic, "")
        positions = table.offsets(topic, consumer.partitions(topic))
        places = {(topic, partition): offset for partition, offset in positions.items()}
        return consumer.gaps_before(places, {topic: table.topic_id(topic, now)})
