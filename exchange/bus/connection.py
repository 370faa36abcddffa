"""How to reach Kafka: the parameters that every client shares, and its errors as ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import kafka.errors

from exchange.errors import ConfigError, TransientError


class BusUnavailableError(TransientError):
    """Kafka did not do what was asked, and may do it later."""

    code = "bus-unavailable"


class BusForbiddenError(ConfigError):
    """Kafka refuses this principal."""

    code = "bus-forbidden"


@dataclass(frozen=True)
class Cluster:
    """A Kafka cluster as one client sees it; `client_id` names the client in the broker's logs."""

    bootstrap_servers: str
    client_id: str = "exchange"

    def config(self) -> dict[str, Any]:
        """The keyword arguments that every kafka-python client takes."""
        return {"bootstrap_servers": self.bootstrap_servers.split(","), "client_id": self.client_id}


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise kafka-python's errors as the exchange's: refused → BusForbiddenError, else BusUnavailableError."""
    try:
        yield
    except kafka.errors.AuthorizationError as error:
        remedy = "give this principal the access, or run `exchange apply`"
        raise BusForbiddenError(f"Kafka refuses to {doing}: {type(error).__name__}", remedy=remedy) from error
    except kafka.errors.KafkaError as error:
        remedy = "see that the cluster is up (`exchange broker status`) and EXCHANGE_BOOTSTRAP_SERVERS is right"
        raise BusUnavailableError(f"cannot {doing}: {type(error).__name__}", remedy=remedy) from error
