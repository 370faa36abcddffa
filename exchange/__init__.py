"""Cross-department data exchange bus: lawful, fast, with proof.

Reading order for the main path: `topics.yaml` (what may be shared) → `contract/model.py` (the same as frozen
models) → `policy/` (grants become views) → `router/step.py` (one run of records is decided) → `ledger/entry.py` (what
is proved) → `connect/` (how a department joins).
"""
