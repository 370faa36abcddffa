"""Kafka: the only home of kafka-python."""

from exchange.bus.connection import Cluster

__all__ = ["Cluster"]
