"""Decides retained records again: delivers them to a grant that did not get them (`replay`), or counts (`simulate`).

Read `due` (what there is to do), `replay`, and `ask` for subjects with a key. `hypothesis` makes an epoch with other
grants.
"""
