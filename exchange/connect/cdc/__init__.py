"""LoggedChange data capture from PostgreSQL: inserts, updates and deletes of a table, in the order of their commits.

Read `capture` (how the parts work together), `following` (messages become rows; pure), `captured` (what is remembered),
`setup` (what the database must be like). docs/decisions/013 says why it streams.
"""
