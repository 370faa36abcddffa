"""From the contract that is wanted and the cluster as it is to the steps between them; and those steps, taken.

Read `topics` and `access` (what a contract needs), `plan` (the difference), `changes` (the steps), `apply`.
`saved`, `selection`, `drift` and `starter` stand beside: a plan as a file, a part of one, what is not as it should be,
a first contract.
"""
