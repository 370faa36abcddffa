"""Cases: a department asks others about a person, item by item, until a person can decide.

Read `case_type` (what is asked, of whom, by when, on what basis), `load` and `check` (every mistake of its file, at
once), `clocks` (due days), `excess` (what a department would answer beyond what is asked); then, of the department that
is asked, `shapes` (the values of an answer) and `answering` (how it answers).
"""
