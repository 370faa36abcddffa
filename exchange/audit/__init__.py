"""The ledger's asking side: what was exchanged, does it balance, why, and is it true.

Read `questions`, `explain`, then `reread`, `reconcile` and `verify`, which read Kafka itself: they share with the
routers the entry's format and the hash, and nothing else.
"""
