"""The ledger: what was exchanged, with proof."""
