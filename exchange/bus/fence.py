"""Fences producers: what they began under a transactional id can no longer be committed.

It does over an administrator's connection what Java's `Admin.fenceProducers` does (KIP-664), which
kafka-python 3.0.12 lacks.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import Any

import kafka.errors
from kafka import KafkaAdminClient
from kafka.admin import TransactionState
from kafka.protocol.producer import InitProducerIdRequest

from exchange.bus import raw

_TIMEOUT_MS = 15_000
_AT_ONCE = 5  # kafka-python allows no more requests under way on one connection
_MARK_MS = 11_317
"""A transaction timeout that no producer uses; by it `fenced` recognises producers that `fence` opened."""

_POLL_S = 0.01


def fence(client: KafkaAdminClient, transactional_ids: Collection[str]) -> set[str]:
    """Open a producer under each id; this aborts what others have open under it and shuts them out.

    Returns when that is done, with the ids for which it failed, for example because a coordinator moved. The others
    can still open a producer of their own again.
    """
    left, failed = set(transactional_ids), set()
    deadline = time.monotonic() + _TIMEOUT_MS / 1000
    while left:
        for name, error in _init(client, sorted(left)).items():
            if error is kafka.errors.ConcurrentTransactionsError and time.monotonic() < deadline:
                continue  # Kafka is aborting what was open
            left.discard(name)
            if error is not kafka.errors.NoError:
                failed.add(name)
        if left:
            time.sleep(_POLL_S)
    return failed


def fenced(client: KafkaAdminClient, transactional_ids: Collection[str]) -> set[str]:
    """The ids that are still fenced: nobody opened a producer under them since.

    Ask this before fencing them again, which takes long for many ids and makes Kafka keep them for another week.
    Empty if Kafka cannot say.
    """
    try:
        found = client.describe_transactions(transactional_ids)
    except (kafka.errors.KafkaError, ValueError):  # a coordinator is moving, or kafka-python does not know the state
        return set()
    return {
        name
        for name, transaction in found.items()
        if transaction.state is TransactionState.EMPTY and transaction.transaction_timeout_ms == _MARK_MS
    }


def _init(client: KafkaAdminClient, names: Sequence[str]) -> dict[str, type[Exception]]:
    """Ask each id's coordinator for a new producer epoch, a few at a time; return the errors of the answers."""

    async def ask() -> dict[str, type[Exception]]:
        coordinators = await raw.coordinators(client, names)
        errors: dict[str, type[Exception]] = {}
        for start in range(0, len(names), _AT_ONCE):
            some = names[start : start + _AT_ONCE]
            asked = {name: raw.connections(client).send(_request(name), node_id=coordinators[name]) for name in some}
            errors |= {name: await _error(answer) for name, answer in asked.items()}
        return errors

    try:
        found: dict[str, type[Exception]] = raw.connections(client).run(ask)
        return found
    except kafka.errors.KafkaError as failure:
        return dict.fromkeys(names, type(failure))


def _request(name: str) -> InitProducerIdRequest:
    return InitProducerIdRequest(
        transactional_id=name,
        transaction_timeout_ms=_MARK_MS,
        producer_id=-1,
        producer_epoch=-1,
        max_version=4,
    )


async def _error(answer: Any) -> type[Exception]:
    try:
        found: type[Exception] = kafka.errors.for_code((await answer).error_code)
        return found
    except kafka.errors.KafkaError as failure:
        return type(failure)
