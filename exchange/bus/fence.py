"""Shut out producers: what they have begun under a transactional id can no longer be committed."""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor

from exchange.bus.connection import Cluster
from exchange.bus.produce import Producer

_AT_ONCE = 8


def fence(cluster: Cluster, transactional_ids: Collection[str], *, timeout_s: float = 15.0) -> None:
    """Open a producer under each id: what others have open under it is aborted, and refused from now on.

    Returns when that is done; nothing keeps them from opening a new one. TransientError where one could not be fenced.
    """
    if not transactional_ids:
        return
    with ThreadPoolExecutor(min(_AT_ONCE, len(transactional_ids)), "fence") as pool:
        for producer in pool.map(lambda name: Producer(cluster, name, timeout_s=timeout_s), transactional_ids):
            producer.discard()
