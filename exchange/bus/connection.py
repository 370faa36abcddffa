"""How to reach Kafka: the parameters that all clients share, and the translation of Kafka's errors."""

from __future__ import annotations

import ssl
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import kafka.errors
from kafka import KafkaAdminClient

from exchange import credentials
from exchange.bus import raw
from exchange.bus.transport import NetClient, UntrustedBrokerError
from exchange.credentials import Security
from exchange.errors import ConfigError, TransientError
from exchange.settings import Settings


class BusUnavailableError(TransientError):
    """Kafka did not do what was asked; it may do so later."""

    code = "bus-unavailable"
    remedy = "see that Kafka runs and can be reached; daemons try again by themselves"


class UnendedTransactionError(TransientError):
    """Kafka does not tell a group's offsets until a transaction has ended, and that takes too long."""

    code = "unended-transaction"
    remedy = "wait a minute; if it stays, Kafka has lost the end: see docs/cluster.md (lost power)"


class BusForbiddenError(ConfigError):
    """Kafka refuses this principal the access."""

    code = "bus-forbidden"
    remedy = "let an administrator run `exchange apply`, or use credentials that may (EXCHANGE_CREDENTIALS)"

    def __init__(self, message: str, *, remedy: str = "", topics: Collection[str] = ()) -> None:
        super().__init__(message, remedy=remedy)
        self.topics = frozenset(topics)


class BusLoginError(ConfigError):
    """Kafka does not let this principal in."""

    code = "bus-login"
    remedy = "name credentials of this cluster in EXCHANGE_CREDENTIALS"


class BusUntrustedError(ConfigError):
    """What answers is not a broker that the certificate authority vouches for."""

    code = "bus-untrusted"
    remedy = "see that the credential file names this cluster's certificate authority"


@dataclass(frozen=True)
class Cluster:
    """A Kafka cluster as one client sees it; `client_id` names the client in the broker's logs.

    Without `security`, nothing is encrypted and nobody logs in: for owners of a Kafka who want it so.
    """

    bootstrap_servers: str
    client_id: str = "exchange"
    security: Security | None = None

    def config(self) -> dict[str, Any]:
        """The keyword arguments that every kafka-python client takes.

        Raises BusUntrustedError if the authority's certificate file is missing or holds no certificate.
        """
        shared: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap_servers.split(","),
            "client_id": self.client_id,
            "kafka_client": NetClient,
            # As Java's clients do. With kafka-python's 30 s, clients of a broker that is back after 15 s wait for 30.
            "reconnect_backoff_max_ms": 1_000,
        }
        if self.security is None:
            return shared
        return shared | {
            "security_protocol": self.security.protocol,
            "sasl_mechanism": self.security.mechanism,
            "sasl_plain_username": self.security.username,
            "sasl_plain_password": self.security.password,
            "ssl_context": _trust(self.security),
        }


def connect(settings: Settings, client_id: str, principal: str) -> Cluster:
    """The settings' cluster with that principal's login, or with the login in EXCHANGE_CREDENTIALS.

    Raises CredentialsError if the credential file cannot be used. If there is none, Kafka is reached without a
    login.
    """
    return Cluster(settings.bootstrap_servers, client_id, credentials.find(settings, principal))


def _trust(security: Security) -> ssl.SSLContext:
    """TLS 1.2 or newer, with a check of the host's name, as `ssl.create_default_context` does."""
    try:
        return ssl.create_default_context(cafile=security.ca)
    except (OSError, ssl.SSLError) as error:
        remedy = f"put the broker's CA certificate (PEM) there: it comes with the credentials of {security.username}"
        raise BusUntrustedError(f"{security.ca}: cannot be used: {error.strerror}", remedy=remedy) from error


def ask(client: KafkaAdminClient, request: Any) -> Any:
    """Send a request of Kafka's protocol for which kafka-python has no suitable call, and return the answer."""
    manager = raw.connections(client)
    return manager.run(manager.send, request)


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise kafka-python's errors as the exchange's; an error that is not a refusal becomes BusUnavailableError."""
    try:
        yield
    except kafka.errors.AuthorizationError as error:
        topics = error.args[0] if error.args and isinstance(error.args[0], set) else ()
        message = f"Kafka refuses to {doing}: {' '.join([type(error).__name__, *sorted(topics)])}"
        raise BusForbiddenError(message, topics=topics) from error
    except kafka.errors.SaslAuthenticationFailedError as error:
        remedy = (
            "name the newest credential file (EXCHANGE_CREDENTIALS); an administrator makes one with "
            "`exchange department add`, a new one with `rotate-credential`"
        )
        raise BusLoginError(f"cannot {doing}: {error.args[0]}", remedy=remedy) from error
    except UntrustedBrokerError as error:
        remedy = "see that EXCHANGE_BOOTSTRAP_SERVERS names the TLS port, and `ca` in the credential file its authority"
        raise BusUntrustedError(f"cannot {doing}: {error.args[0]}", remedy=remedy) from error
    except kafka.errors.UnstableOffsetCommitError as error:
        raise UnendedTransactionError(f"cannot {doing}: a transaction that does not end holds offsets back") from error
    except kafka.errors.KafkaError as error:
        remedy = "see that the cluster is up (`exchange broker status`) and EXCHANGE_BOOTSTRAP_SERVERS is right"
        raise BusUnavailableError(f"cannot {doing}: {type(error).__name__}", remedy=remedy) from error
