"""Progress on Kafka: the compacted topic `cursor.<dept>`, written in the same transaction as the records."""

from __future__ import annotations

from collections.abc import Mapping

from exchange.bus.connection import Cluster
from exchange.bus.topics import read_all
from exchange.connect.published import OWN
from exchange.connect.source import Progress
from exchange.names import cursor_topic

PARTITION = 0
_ORIGIN = "source/origin"  # the name of a file, which can be a name of progress, has no slash


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


def of_origin(progress: Progress, origin: str) -> tuple[Progress, dict[str, bytes | None]]:
    """The progress that a source of this origin (cursor, csv, …) understands, and the change that makes it so.

    If the file gave another origin before, that one's progress is forgotten; which rows are published, stays known. A
    capture (`cdc`) gets all: it forgets the rest itself, when it has seen that rows were published before it.

    >>> of_origin({"a.csv": b"1", "rows/key": b"2", "source/origin": b"csv"}, "cursor")
    ({'rows/key': b'2'}, {'source/origin': b'cursor', 'a.csv': None})
    """
    before, own = progress.get(_ORIGIN), {name: value for name, value in progress.items() if name != _ORIGIN}
    if before == origin.encode():
        return own, {}
    change: dict[str, bytes | None] = {_ORIGIN: origin.encode()}
    if before is None or origin == "cdc":
        return own, change
    kept = {name: value for name, value in own.items() if name.startswith(OWN)}
    return kept, change | dict.fromkeys(name for name in own if name not in kept)
