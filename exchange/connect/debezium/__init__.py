"""Changes that Debezium has written to a Kafka of the department's own, in its JSON envelope.

Read `debezium_source` (offsets, pages, TRUNCATE), `envelope` (a message becomes rows; pure), `encodings` (how Debezium
writes dates, moments and decimals).
"""
