"""The byte rates that a contract sets for its departments' clients."""

from __future__ import annotations

from collections.abc import Mapping

from exchange.contract.model import Contract

KEYS = ("producer_byte_rate", "consumer_byte_rate")
"""Kafka's own names of what is set, in bytes per second and broker."""

ByteRates = Mapping[str, int]


def wanted_rates(contract: Contract) -> dict[str, ByteRates]:
    """By department, what its clients may move: its own rates, and the contract's where it has none."""
    wanted: dict[str, ByteRates] = {}
    for department in contract.departments:
        rates = {key: getattr(department.rates, key) or getattr(contract.rates, key) for key in KEYS}
        wanted[department.id] = {key: rate for key, rate in rates.items() if rate is not None}
    return wanted
