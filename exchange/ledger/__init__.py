"""The ledger's writing side: what an entry is, and how the topic gets into SQL.

Read `entry`, `body` (an entry as Avro), `merkle`, then `follower`, `intake` and `store`. The asking side is
`exchange.audit`.
"""
