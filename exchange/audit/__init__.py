"""The ledger's asking side: what was exchanged, does it balance, why was it decided so, and is the ledger true?

Read `questions`, `explain`, then `reread`, `reconcile` and `verify`. The last three read Kafka themselves; all that
they share with the routers is the entry's format and the hash.
"""
