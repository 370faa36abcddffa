"""Byte rates of users on the broker (KIP-546). kafka-python has the messages for this, but no calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import kafka.errors
from kafka.admin import KafkaAdminClient
from kafka.protocol.admin import AlterClientQuotasRequest, DescribeClientQuotasRequest

from exchange.bus.connection import ask

KEYS = ("producer_byte_rate", "consumer_byte_rate")
"""Kafka's keys of the two byte rates, in bytes per second and broker."""

ByteRates = Mapping[str, int]
_ANY_NAME = 2  # in DescribeClientQuotas: any entity of the type that has a name


def describe(client: KafkaAdminClient) -> dict[str, ByteRates]:
    """Bytes per second by user and key, for users that have a byte rate of their own."""
    request = DescribeClientQuotasRequest(components=[("user", _ANY_NAME, None)], strict=True)
    response = ask(client, request)
    _raise_for(response.error_code, response.error_message)
    found: dict[str, ByteRates] = {}
    for entry in response.entries or ():
        rates = {value.key: int(value.value) for value in entry.values if value.key in KEYS}
        name = entry.entity[0].entity_name
        if rates and name is not None:  # without a name it is the default for users that have none of their own
            found[name] = rates
    return found


def alter(client: KafkaAdminClient, wanted: Mapping[str, Mapping[str, int | None]]) -> None:
    """Set these keys of these users, or remove those that are None; their other keys stay."""
    entries: list[Any] = [
        ([("user", user)], [(key, float(rate or 0), rate is None) for key, rate in rates.items()])
        for user, rates in wanted.items()
    ]
    response = ask(client, AlterClientQuotasRequest(entries=entries, validate_only=False))
    for entry in response.entries:
        _raise_for(entry.error_code, entry.error_message)


def _raise_for(code: int, message: str | None) -> None:
    if code:
        raise kafka.errors.for_code(code)(message)
