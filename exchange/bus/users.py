"""The principals that can log in to the cluster, and the issue of their credential files."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from kafka.admin import KafkaAdminClient, ScramMechanism, UserScramCredentialDeletion, UserScramCredentialUpsertion

from exchange import credentials, names
from exchange.bus.connection import BusForbiddenError, BusLoginError, BusUnavailableError, Cluster, translated
from exchange.bus.probe import cluster_id
from exchange.errors import ConfigError

ITERATIONS = 4096
"""The least that Kafka takes; more would protect a password that people choose, and these are random."""

_PASSWORD_BYTES = 32
_IN_FORCE_S = 15.0
_POLL_S = 0.05


class InsecureClusterError(ConfigError):
    """A principal was asked for where nobody logs in."""

    code = "insecure-cluster"
    remedy = "name the administrator's credential file (EXCHANGE_CREDENTIALS)"


def new_password() -> str:
    """256 random bits as text that needs no quoting anywhere."""
    return secrets.token_urlsafe(_PASSWORD_BYTES)


def principals(cluster: Cluster) -> set[str]:
    """Everybody who can log in by a password."""
    with _client(cluster, "list the principals") as client:
        # Asked for everybody, a broker does not answer whom it refuses; asked for one, it says so.
        client.describe_user_scram_credentials([names.ADMIN_PRINCIPAL])
        found = client.describe_user_scram_credentials()
    return {name for name, user in found.items() if user["credential_infos"]}


def issue(cluster: Cluster, files: Mapping[str, Path]) -> None:
    """Let these principals log in by new passwords only, and write each to its credential file.

    Returns once the new passwords work; from then on no new connection is made with the old ones.
    Interrupted in between, `staged(path)` holds the new password; running again is safe.
    """
    if cluster.security is None:
        raise InsecureClusterError("this Kafka is reached without a login, so that a password would protect nothing")
    changes = []
    for principal, path in files.items():
        security = cluster.security.model_copy(update={"username": principal, "password": new_password()})
        credentials.save(staged(path), security)
        changes.append(UserScramCredentialUpsertion(principal, security.mechanism, security.password, ITERATIONS))
    with _client(cluster, "set passwords") as client:
        _alter(client, changes)
    deadline = time.monotonic() + _IN_FORCE_S
    for path in files.values():
        while not take_up(cluster, path):
            if time.monotonic() > deadline:
                raise BusUnavailableError("a new password does not work yet", remedy="run it again")
            time.sleep(_POLL_S)


def remove(cluster: Cluster, principal: str) -> bool:
    """Let that principal log in no more; False where it could not.

    Returns once no new connection is made with its password; open ones end when the broker asks for it again.
    """
    with _client(cluster, "remove a login") as client:
        if not (mechanisms := _mechanisms(client, principal)):
            return False
        _alter(client, [UserScramCredentialDeletion(principal, mechanism) for mechanism in mechanisms])
        deadline = time.monotonic() + _IN_FORCE_S
        while _mechanisms(client, principal):
            if time.monotonic() > deadline:
                raise BusUnavailableError(f"{principal} can still log in", remedy="run it again")
            time.sleep(_POLL_S)
    return True


def take_up(cluster: Cluster, path: Path) -> bool:
    """Put staged credentials that work in the place of the file; False where there are none, or they do not work."""
    if not staged(path).exists():
        return False
    if can_log_in(replace(cluster, security=credentials.load(staged(path)))):
        staged(path).replace(path)
        return True
    return False


def can_log_in(cluster: Cluster) -> bool:
    """Whether the broker is there, and lets this client in."""
    try:
        return cluster_id(cluster) is not None
    except BusLoginError:
        return False


def staged(path: Path) -> Path:
    """Where the new credentials of a file are until they are in force."""
    return path.with_name(f"{path.name}.new")


def _alter(
    client: KafkaAdminClient, changes: Sequence[UserScramCredentialUpsertion | UserScramCredentialDeletion]
) -> None:
    told = client.alter_user_scram_credentials(changes)
    if faults := [f"{principal}: {fault}" for principal, fault in told.items() if fault]:
        raise BusForbiddenError(
            f"Kafka does not change logins: {'; '.join(faults)}",
            remedy="run this as the administrator (EXCHANGE_CREDENTIALS), whom Kafka lets alter the cluster",
        )


def _mechanisms(client: KafkaAdminClient, principal: str) -> list[ScramMechanism]:
    described = client.describe_user_scram_credentials([principal])[principal]
    return [info["mechanism"] for info in described["credential_infos"]]


@contextmanager
def _client(cluster: Cluster, doing: str) -> Iterator[KafkaAdminClient]:
    with translated(doing):
        client = KafkaAdminClient(**cluster.config())
        try:
            yield client
        finally:
            client.close()
