"""The embedded Kafka: one node, from Maven jars, for a first run and for tests."""

from exchange.broker.local import BrokerStatus, LocalBroker, configured

__all__ = ["BrokerStatus", "LocalBroker", "configured"]
