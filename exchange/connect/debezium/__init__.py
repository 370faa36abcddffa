"""Changes that Debezium has written to a Kafka of the department's own, in its JSON envelope.

Read `source` (offsets, pages, TRUNCATE), `envelope` (a message becomes rows; pure), `values` (how Debezium writes
dates, moments and decimals).
"""
