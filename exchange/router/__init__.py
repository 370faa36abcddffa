"""The router: enforces grants and writes every exchanged record into the ledger.

Read `step` (one run of records decided, pure), `quarantine` (what is no record of its subject), `in_force` (the epoch
that it works under), `loop` (what is done when), `gather`, `write` (one transaction, ledger first), `suspended` (what
is left aside), `barrier` (when a new epoch is in force everywhere).
"""
