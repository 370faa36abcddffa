"""Kafka: the only room that uses kafka-python. It knows nothing of the exchange but names.

Read `connection`, `consume` and `gaps`, `produce`, then `raw`, which depends on kafka-python's internals.
"""

from exchange.bus.connection import Cluster

__all__ = ["Cluster"]
