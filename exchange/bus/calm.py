"""Keeps kafka-python from asking and looking more often than anything can have changed.

This depends on internals of version 3.0.12, as `raw` does.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from kafka import KafkaConsumer
from kafka.protocol.consumer import FetchRequest

from exchange.bus.connection import BusUnavailableError
from exchange.bus.raw import metadata_age

LOOK_S = 1.0
CUT_OFF_S = 10.0  # a broker that restarts is back by then
_Asked = FetchRequest.FetchTopic.FetchPartition


def _is_same(one: Any, other: Any) -> bool:
    """Whether two requests ask the same of a partition: all that kafka-python sets in them, and not all that it could.

    Before each fetch it compares those of all partitions; to look up each field that it does not set takes a µs.
    """
    mine, its = (
        (at.partition, at.fetch_offset, at.current_leader_epoch, at.last_fetched_epoch, at.partition_max_bytes)
        for at in (one, other)
    )
    return mine == its


_Asked.__eq__ = _is_same


def ask_calmly(consumer: KafkaConsumer, is_at_rest: Callable[[], bool]) -> None:
    """Stop a member of a group from doing so while it polls.

    kafka-python asks for a missing topic fifty times a second; `raw.refresh` asks for it again. With each poll it
    compares every partition's leader with the metadata, and prepares a fetch of every partition, even if each broker
    still has a fetch to answer. With each poll it also looks three times whether some partition has no position; at
    rest, this does so only once in `LOOK_S`.
    """
    cluster, fetcher = consumer._cluster, consumer._fetcher
    update, validate, send = cluster.update_metadata, fetcher.maybe_validate_positions, fetcher.send_fetches
    validated = None

    def updated(metadata: Any) -> None:
        try:
            update(metadata)
        finally:
            cluster._need_update = False

    def validate_new() -> None:
        nonlocal validated
        if validated != (age := metadata_age(consumer)):
            validated = age
            validate()

    def send_due() -> Any:
        asked = fetcher._nodes_with_pending_fetch_requests
        return [] if asked and asked.issuperset(broker.node_id for broker in cluster.brokers()) else send()

    def seldom(look: Callable[..., Any]) -> Callable[..., Any]:
        looked_s = -LOOK_S

        def look_if_due(**how: Any) -> Any:
            nonlocal looked_s
            if is_at_rest() and time.monotonic() < looked_s + LOOK_S:
                return None
            looked_s = time.monotonic()
            return look(**how)

        return look_if_due

    cluster.update_metadata, fetcher.maybe_validate_positions, fetcher.send_fetches = updated, validate_new, send_due
    consumer._refresh_committed_offsets = seldom(consumer._refresh_committed_offsets)
    fetcher.reset_offsets_if_needed = seldom(fetcher.reset_offsets_if_needed)
    fetcher.validate_offsets_if_needed = seldom(fetcher.validate_offsets_if_needed)


class Reach:
    """Whether a consumer can reach a broker.

    A poll of kafka-python that cannot would try to two hundred times a second, and end as if there were no data.
    """

    def __init__(self, consumer: KafkaConsumer) -> None:
        self._manager = consumer._fetcher._manager
        self._lost_s: float | None = None  # when it had lost all brokers, on the monotonic clock

    def is_paused(self, timeout_s: float) -> bool:
        """Whether no broker is to be tried now; then wait until one is, or as long as one may.

        Raises BusUnavailableError if none could be reached for `CUT_OFF_S`.
        """
        if not self._manager.is_cut_off():
            self._lost_s = None
            return False
        now, pause_s = time.monotonic(), self._manager.pause_s()
        self._lost_s = self._lost_s or now
        time.sleep(min(pause_s, timeout_s))
        if pause_s and now - self._lost_s > CUT_OFF_S:
            raise BusUnavailableError("no broker can be reached")
        return bool(pause_s)


def wait(consumer: KafkaConsumer, timeout_s: float) -> bool:
    """Whether there may be something to poll; if all is asked for, wait so long for an answer.

    A poll of kafka-python that waits costs 0.5 ms of a core. This does not poll, so it is not for members of a group.
    """
    fetcher = consumer._fetcher
    partitions = fetcher._fetchable_partitions()
    leaders = {consumer._cluster.leader_for_partition(tp) for tp in partitions}
    if (
        len(partitions) + len(consumer.paused()) < len(consumer.assignment())  # data, or a position to be validated
        or fetcher._next_in_line_exception_metadata is not None
        or not leaders <= fetcher._nodes_with_pending_fetch_requests
    ):
        return True
    due = [future for future in list(fetcher._fetch_futures) if not future.is_done]
    if len(due) < len(fetcher._nodes_with_pending_fetch_requests):
        return True  # one is answered by now, or not noted yet, and would not be waited for
    answered = threading.Event()
    for future in due:
        future.add_both(lambda _: answered.set())  # at once if it is answered already
    return answered.wait(timeout_s)
