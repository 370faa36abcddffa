"""How programs other than this process reach a cluster of the tests."""

from __future__ import annotations

from pathlib import Path

from exchange import credentials
from exchange.bus import Cluster


def librdkafka(cluster: Cluster) -> dict[str, str]:
    """The settings under which librdkafka sees the cluster as that principal does."""
    settings = {"bootstrap.servers": cluster.bootstrap_servers}
    if cluster.security is None:
        return settings
    return settings | {
        "security.protocol": cluster.security.protocol,
        "sasl.mechanism": cluster.security.mechanism,
        "sasl.username": cluster.security.username,
        "sasl.password": cluster.security.password,
        "ssl.ca.location": str(cluster.security.ca or "probe"),
    }


def environment(cluster: Cluster, folder: Path) -> dict[str, str]:
    """The settings under which `exchange` sees it so; the credential file is written to `folder`."""
    settings = {"EXCHANGE_BOOTSTRAP_SERVERS": cluster.bootstrap_servers}
    if cluster.security is None:
        return settings
    path = folder / "credentials.yaml"
    credentials.save(path, cluster.security)
    return settings | {"EXCHANGE_CREDENTIALS": str(path)}
