"""Shut out producers: what they have begun under a transactional id can no longer be committed.

Does over an administrator's connection what Java's `Admin.fenceProducers` does (KIP-664), which
kafka-python 3.0.12 has not.
"""

from __future__ import annotations

import time
from collections.abc import Collection

import kafka.errors
from kafka import KafkaAdminClient
from kafka.protocol.metadata import CoordinatorType
from kafka.protocol.producer import InitProducerIdRequest

_TIMEOUT_MS = 15_000
_POLL_S = 0.01


def fence(client: KafkaAdminClient, transactional_ids: Collection[str]) -> set[str]:
    """Open a producer under each id: what others have open under it is aborted, and refused from now on.

    Returns when that is done, with the ids for which this client could not do it: a coordinator moved, say.
    Nothing keeps the others from opening a producer of their own again.
    """
    left, failed = set(transactional_ids), set()
    deadline = time.monotonic() + _TIMEOUT_MS / 1000
    while left:
        for name in sorted(left):
            error = _init(client, name)
            if error is kafka.errors.ConcurrentTransactionsError and time.monotonic() < deadline:
                continue  # what was open is being aborted
            left.discard(name)
            if error is not kafka.errors.NoError:
                failed.add(name)
        if left:
            time.sleep(_POLL_S)
    return failed


def _init(client: KafkaAdminClient, name: str) -> type[Exception]:
    """Ask the id's coordinator for a new producer epoch; the answer's error."""

    async def ask() -> type[Exception]:
        coordinator = await client._find_coordinator_id(name, key_type=CoordinatorType.TRANSACTION)
        request = InitProducerIdRequest(
            transactional_id=name,
            transaction_timeout_ms=_TIMEOUT_MS,
            producer_id=-1,
            producer_epoch=-1,
            max_version=4,
        )
        response = await client._manager.send(request, node_id=coordinator)
        found: type[Exception] = kafka.errors.for_code(response.error_code)
        return found

    try:
        error: type[Exception] = client._manager.run(ask)
        return error
    except kafka.errors.KafkaError as failure:
        return type(failure)
