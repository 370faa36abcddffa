"""The router: enforces grants and writes every exchanged record into the ledger.

Read `step` (decides a run of records, pure), `loop` (what is done when), `gather`, `write` (one transaction, ledger
first), `suspended` (what is left aside) and `barrier` (when a new epoch is in force everywhere).
"""
