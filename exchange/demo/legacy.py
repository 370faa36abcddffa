"""A misbehaving legacy publisher for the demo: it writes bytes to subject topics that are not records."""

from __future__ import annotations

from exchange import names
from exchange.bus import Cluster
from exchange.bus.topics import publish, read_all
from exchange.epochs import epoch_in_force

SUBJECTS = ("tax.arrears", "market.permit", "credit.rating")
KEY = b"legacy-publisher"


def bad_values(schema_id: int) -> list[bytes]:
    """One value for each way not to be a record: no header, unknown schema, cut short, bytes left over."""
    known = b"\0" + schema_id.to_bytes(4, "big")
    return [b"\x07legacy", b"\0\x7f\xff\xff\xff\x02", known + b"\x40cut", known + b"\x02x" * 60]


def misbehave(cluster: Cluster) -> int:
    """Write each bad value to each of the subjects' topics unless it is there; return how many are there then."""
    epoch = epoch_in_force(cluster)
    total = 0
    for subject in SUBJECTS:
        topic = names.subject_topic(subject)
        values = bad_values(epoch.writers[subject][-1])
        there = sum(record.key == KEY for record in read_all(cluster, topic))
        publish(cluster, topic, [(KEY, value) for value in values[there:]])
        total += len(values)
    return total
