"""Whether a cluster answers a client."""

from __future__ import annotations

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from exchange.bus.connection import BusUnavailableError, Cluster, translated


def cluster_id(cluster: Cluster, *, timeout_s: float = 5.0) -> str | None:
    """The cluster's id if it answers with at least one broker; None otherwise.

    Raises BusLoginError or BusUntrustedError if something answers that refuses this client or is not the cluster.
    """
    timeout_ms = int(timeout_s * 1000)
    try:
        with translated("reach the cluster"):
            admin = KafkaAdminClient(**cluster.config(), request_timeout_ms=timeout_ms, bootstrap_timeout_ms=timeout_ms)
    except (BusUnavailableError, OSError, ValueError):
        return None
    try:
        answer = admin.describe_cluster()
    except (KafkaError, OSError):
        return None
    finally:
        admin.close()
    return answer["cluster_id"] if any(not broker.get("is_fenced") for broker in answer["brokers"]) else None
