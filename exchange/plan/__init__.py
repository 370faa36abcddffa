"""Compares the contract with the cluster, plans the steps between them, and takes these steps.

Read `topics` and `access` (what a contract needs), then `plan` (the difference), `changes` (the steps) and `apply`.
Around them: `saved` (a plan as a file), `selection` (part of a plan), `drift` (how a cluster differs from the
contract) and `starter` (a first contract made from a cluster).
"""
