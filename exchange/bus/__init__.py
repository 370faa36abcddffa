"""Kafka: the only home of kafka-python."""
