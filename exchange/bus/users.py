"""The principals that can log in to the cluster, and the issue of their credential files."""

from __future__ import annotations

import secrets
import time
from pathlib import Path

from kafka.admin import KafkaAdminClient, UserScramCredentialUpsertion

from exchange import credentials
from exchange.bus.connection import BusForbiddenError, BusLoginError, BusUnavailableError, Cluster, translated
from exchange.bus.probe import cluster_id
from exchange.credentials import Security
from exchange.errors import ConfigError

ITERATIONS = 8192
_PASSWORD_BYTES = 32
_IN_FORCE_S = 15.0
_POLL_S = 0.05


class InsecureClusterError(ConfigError):
    """A principal was asked for where nobody logs in."""

    code = "insecure-cluster"


def new_password() -> str:
    """256 random bits as text that needs no quoting anywhere."""
    return secrets.token_urlsafe(_PASSWORD_BYTES)


def principals(cluster: Cluster) -> set[str]:
    """Everybody who can log in by a password."""
    with translated("list the principals"):
        client = KafkaAdminClient(**cluster.config())
        try:
            found = client.describe_user_scram_credentials()
        finally:
            client.close()
    return {name for name, user in found.items() if user["credential_infos"]}


def issue(cluster: Cluster, principal: str, path: Path) -> Security:
    """Let the principal log in by a new password only, and write it to its credential file.

    Returns once the new password works; from then on no new connection is made with the old one.
    Interrupted in between, the file `staged(path)` holds the new password; running again is safe.
    """
    if cluster.security is None:
        raise InsecureClusterError(
            "this Kafka is reached without a login, so that a password would protect nothing",
            remedy="name the administrator's credential file (EXCHANGE_CREDENTIALS)",
        )
    security = cluster.security.model_copy(update={"username": principal, "password": new_password()})
    credentials.save(staged(path), security)
    upsertion = UserScramCredentialUpsertion(principal, security.mechanism, security.password, ITERATIONS)
    with translated(f"set the password of {principal}"):
        client = KafkaAdminClient(**cluster.config())
        try:
            fault = client.alter_user_scram_credentials([upsertion])[principal]
        finally:
            client.close()
    if fault:
        raise BusForbiddenError(
            f"Kafka does not set the password of {principal}: {fault}",
            remedy="run this as the administrator (EXCHANGE_CREDENTIALS), whom Kafka lets alter the cluster",
        )
    _wait_until_in_force(Cluster(cluster.bootstrap_servers, cluster.client_id, security))
    staged(path).replace(path)
    return security


def staged(path: Path) -> Path:
    """Where the new credentials of a file are until they are in force."""
    return path.with_name(f"{path.name}.new")


def can_log_in(cluster: Cluster) -> bool:
    """Whether the broker lets this client in."""
    try:
        return cluster_id(cluster) is not None
    except BusLoginError:
        return False


def _wait_until_in_force(cluster: Cluster) -> None:
    deadline = time.monotonic() + _IN_FORCE_S
    while not can_log_in(cluster):
        if time.monotonic() > deadline:
            raise BusUnavailableError(
                f"the new password does not work after {_IN_FORCE_S:.0f} s", remedy="run it again"
            )
        time.sleep(_POLL_S)
