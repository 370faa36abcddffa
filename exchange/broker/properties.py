"""Writes the server.properties of a one-node Kafka."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NamedTuple

from exchange import names
from exchange.broker.certificates import Certificates

BROKER = "exchange.broker"
"""The broker's own principal."""


class Ports(NamedTuple):
    """The ports on which the node listens: for clients, for itself as a broker, and for itself as a controller."""

    clients: int
    broker: int
    controller: int


ONE_NODE = {
    # Topics come from the contract, never from a typing error.
    "auto.create.topics.enable": "false",
    # There is no other node to replicate to.
    "default.replication.factor": "1",
    "min.insync.replicas": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "10",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "10",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # By default, Kafka forgets the offsets of a group without members after a week: its routers would repeat
    # everything.
    "offsets.retention.minutes": str(10 * 366 * 24 * 60),
    # The largest message is a contract epoch (10 MiB), in a batch with its header.
    "message.max.bytes": str(11 * 1024 * 1024),
    # Groups form at once; members that died are noticed soon, and so are their transactions.
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "transaction.max.timeout.ms": "900000",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    # A killed broker is let in again once its old session has expired.
    "broker.session.timeout.ms": "5000",
    "broker.heartbeat.interval.ms": "1000",
    # Sized for a heap of 512 MB.
    "log.cleaner.threads": "1",
    "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),
    "num.recovery.threads.per.data.dir": "2",
}
"""Settings that a one-node Kafka needs, wherever it runs."""

_SOON_FENCED = {
    "broker.session.timeout.ms": "500",
    "broker.heartbeat.interval.ms": "100",
    "metadata.max.idle.interval.ms": "100",
}

REAUTHENTICATION_MS = 15 * 60 * 1000
"""How long a connection may live on, at most, after its password was replaced."""


def server_properties(
    data: Path, ports: Ports, certificates: Certificates | None, *, only_controller: bool = False
) -> str:
    """The file for one node that is both broker and controller, reachable only from this machine.

    Without certificates, it is open to every program on the machine. With `only_controller`, it serves nobody and soon
    fences the broker that it was before.
    """
    protocols = ("SASL_SSL", "SSL", "SSL") if certificates else ("PLAINTEXT",) * 3
    names = ("CLIENTS", "BROKER", "CONTROLLER")
    listeners = [f"{name}://127.0.0.1:{port}" for name, port in zip(names, ports, strict=True)]
    settings = {
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{ports.controller}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": ",".join(f"{n}:{p}" for n, p in zip(names, protocols, strict=True)),
        "log.dirs": str(data),
        **ONE_NODE,
        **(_security(certificates) if certificates else {}),
    }
    if only_controller:
        settings |= {"process.roles": "controller", "listeners": listeners[2], **_SOON_FENCED}
    else:
        settings |= {
            "process.roles": "broker,controller",
            "listeners": ",".join(listeners),
            "advertised.listeners": ",".join(listeners[:2]),
            "inter.broker.listener.name": "BROKER",
        }
    return "".join(f"{name}={_escaped(value)}\n" for name, value in settings.items())


def _escaped(value: str) -> str:
    r"""The value in the form that Java reads back: it takes such a file for Latin-1.

    >>> print(_escaped("/home/穗/x\\y"))
    /home/\u7a57/x\\y
    """
    return json.dumps(value)[1:-1]


def _security(certificates: Certificates) -> dict[str, str]:
    return {
        # Clients log in with a password over TLS. The broker reaches itself by its certificate, and nobody else does.
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(certificates.broker),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(certificates.authority),
        "ssl.client.auth": "required",
        "ssl.principal.mapping.rules": f"RULE:^CN=({re.escape(BROKER)})$/$1/",
        "listener.name.clients.ssl.client.auth": "none",
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "listener.name.clients.scram-sha-512.sasl.jaas.config": (
            "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        ),
        "connections.max.reauth.ms": str(REAUTHENTICATION_MS),
        # A principal that no rule of the contract lets in stays out.
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "false",
        "super.users": f"User:{BROKER};User:{names.ADMIN_PRINCIPAL}",
    }
