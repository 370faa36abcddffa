"""The byte rates that a contract sets for the clients of departments."""

from __future__ import annotations

from exchange.bus.client_quotas import KEYS, ByteRates
from exchange.contract.model import Contract


def wanted_rates(contract: Contract) -> dict[str, ByteRates]:
    """The byte rates of each department: its own, or the contract's if it has none."""
    wanted: dict[str, ByteRates] = {}
    for department in contract.departments:
        rates = {key: getattr(department.rates, key) or getattr(contract.rates, key) for key in KEYS}
        wanted[department.id] = {key: rate for key, rate in rates.items() if rate is not None}
    return wanted
