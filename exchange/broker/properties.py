"""The server.properties of a one-node Kafka."""

from __future__ import annotations

from pathlib import Path

ONE_NODE = {
    # Topics come from the contract, never from a typing error.
    "auto.create.topics.enable": "false",
    # There is nobody to replicate to.
    "default.replication.factor": "1",
    "min.insync.replicas": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "10",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "10",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # The largest message is a contract epoch (10 MiB) in a batch with its header.
    "message.max.bytes": str(11 * 1024 * 1024),
    # Groups form at once, members that died are missed soon, and so are their transactions.
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "transaction.max.timeout.ms": "900000",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    # A killed broker is let back in once its old session has expired.
    "broker.session.timeout.ms": "5000",
    "broker.heartbeat.interval.ms": "1000",
    # Sized for a heap of 512 MB.
    "log.cleaner.threads": "1",
    "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),
    "num.recovery.threads.per.data.dir": "2",
}
"""What a Kafka of one node needs set, wherever it runs."""


def server_properties(data: Path, port: int, controller_port: int) -> str:
    """The file for one node that is broker and controller, reachable from this machine only."""
    settings = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": str(data),
        **ONE_NODE,
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())
