"""Progress on Kafka: the compacted topic `cursor.<dept>`, written in the same transaction as the records."""

from __future__ import annotations

from collections.abc import Mapping

from exchange.bus.connection import Cluster
from exchange.bus.topics import read_all
from exchange.names import cursor_topic

PARTITION = 0


def read(cluster: Cluster, department: str, subject: str) -> dict[str, bytes]:
    """The progress that the source of that subject last committed.

    Call it when the source's transactional producer is open: opening it has fenced the predecessor, so that nobody can
    add anything meanwhile.
    """
    prefix = f"{subject}/"
    progress: dict[str, bytes] = {}
    for record in read_all(cluster, cursor_topic(department)):
        name = (record.key or b"").decode()
        if not name.startswith(prefix):
            continue
        if record.value is None:
            progress.pop(name.removeprefix(prefix), None)
        else:
            progress[name.removeprefix(prefix)] = record.value
    return progress


def key_values(subject: str, progress: Mapping[str, bytes | None]) -> tuple[list[bytes | None], list[bytes | None]]:
    """The keys and values that record this progress on the topic."""
    return [f"{subject}/{name}".encode() for name in progress], list(progress.values())
