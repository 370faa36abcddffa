"""Retained records again: delivered to a grant that did not get them (`replay`), or only counted (`simulate`).

Read `due` (what there is to do), `retained` (reading it), `replay`. `hypothesis` makes an epoch with other grants.
"""
