"""How to reach Kafka: the parameters that every client shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Cluster:
    """A Kafka cluster as one client sees it; `client_id` names the client in the broker's logs."""

    bootstrap_servers: str
    client_id: str = "exchange"

    def config(self) -> dict[str, Any]:
        """The keyword arguments that every kafka-python client takes."""
        return {"bootstrap_servers": self.bootstrap_servers.split(","), "client_id": self.client_id}
