"""How a command reaches Kafka: the settings' cluster, as one principal."""

from __future__ import annotations

from exchange import credentials
from exchange.bus import Cluster
from exchange.settings import Settings


def connect(settings: Settings, client_id: str, principal: str) -> Cluster:
    """The cluster as that principal sees it, or as the one of EXCHANGE_CREDENTIALS.

    CredentialsError where its credential file cannot be used; without one, Kafka is reached without a login.
    """
    return Cluster(settings.bootstrap_servers, client_id, credentials.find(settings, principal))
