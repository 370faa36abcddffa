"""The ledger's writing side: what an entry is, and how the topic gets into SQL.

Read `entry`, `merkle`, then `follower`, `intake` and `store`. The room `exchange.audit` reads what they wrote.
"""
