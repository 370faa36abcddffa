"""Kafka: the only home of kafka-python, and nothing of the exchange's own but names.

Read `connection`, `consume` and `gaps`, `produce`, then `raw`, which leans on kafka-python's insides.
"""

from exchange.bus.connection import Cluster

__all__ = ["Cluster"]
