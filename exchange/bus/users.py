"""The principals that can log in to the cluster, and how they get their credential files."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from kafka.admin import KafkaAdminClient, ScramMechanism, UserScramCredentialDeletion, UserScramCredentialUpsertion

from exchange import credentials, names
from exchange.bus.connection import BusForbiddenError, BusLoginError, BusUnavailableError, Cluster, translated
from exchange.bus.probe import cluster_id
from exchange.errors import ConfigError
from exchange.waiting import until

ITERATIONS = 4096
"""The fewest that Kafka accepts. More would protect passwords that people choose, but these are random."""

_PASSWORD_BYTES = 32
_IN_FORCE_S = 15.0


class InsecureClusterError(ConfigError):
    """A login was asked for on a cluster where nobody logs in."""

    code = "insecure-cluster"
    remedy = "name the administrator's credential file (EXCHANGE_CREDENTIALS)"


def new_password() -> str:
    """256 random bits, as text that needs no quoting anywhere."""
    return secrets.token_urlsafe(_PASSWORD_BYTES)


def principals(cluster: Cluster) -> set[str]:
    """The names of all that can log in with a password."""
    with _client(cluster, "list the principals") as client:
        # If asked for all users, a broker does not say that it refuses; if asked for one, it does.
        client.describe_user_scram_credentials([names.ADMIN_PRINCIPAL])
        found = client.describe_user_scram_credentials()
    return {name for name, user in found.items() if user["credential_infos"]}


def issue(cluster: Cluster, files: Mapping[str, Path]) -> None:
    """Give each of these principals a new password, the only one that works, and write it to its credential file.

    Returns once the new passwords work; from then on, old ones open no new connection. If interrupted, `staged(path)`
    holds the new password; running it again is safe.
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
    for path in files.values():
        if not until(partial(take_up, cluster, path), _IN_FORCE_S):
            raise BusUnavailableError("a new password does not work yet", remedy="run it again")


def remove(cluster: Cluster, principal: str) -> bool:
    """Remove that principal's login; return False if it had none.

    Returns once its password opens no new connection; open ones end when the broker asks for the password again.
    """
    with _client(cluster, "remove a login") as client:
        if not (mechanisms := _mechanisms(client, principal)):
            return False
        _alter(client, [UserScramCredentialDeletion(principal, mechanism) for mechanism in mechanisms])
        if not until(lambda: not _mechanisms(client, principal), _IN_FORCE_S):
            raise BusUnavailableError(f"{principal} can still log in", remedy="run it again")
    return True


def take_up(cluster: Cluster, path: Path) -> bool:
    """Replace the file by staged credentials that work; return False if there are none, or if they do not work."""
    if not staged(path).exists():
        return False
    if can_log_in(replace(cluster, security=credentials.load(staged(path)))):
        staged(path).replace(path)
        return True
    return False


def can_log_in(cluster: Cluster) -> bool:
    """Whether the broker answers and lets this client in."""
    try:
        return cluster_id(cluster) is not None
    except BusLoginError:
        return False


def staged(path: Path) -> Path:
    """The path that holds a file's new credentials until they are in force."""
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
