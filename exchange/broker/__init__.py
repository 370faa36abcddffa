"""The embedded one-node Kafka for a first run and for tests."""
