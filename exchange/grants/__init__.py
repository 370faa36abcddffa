"""The life of a grant: requested, reviewed, answered, decided, renewed, revoked; who did what, when and why.

Read `life` (who may do what when, pure), `propose`, `standing`, `store`.
"""
