"""Cases: a department asks others about a person, item by item, until a person can decide.

Read `case_type` (what is asked, of whom, by when, on what basis), `load` and `check` (every mistake of its file, at
once), `clocks` (due days), `answered` and `excess` (whether departments say how they answer: no less and no more than
is asked).

Then, of the department that asks: `states` (what can happen when), `events` (what is kept of it), `case` (the fold of
them), `case_row` and `statistics` (what is known without the histories), `finding`, `rules`, `store` and `engine` (what
asks, takes answers and makes findings), `acts` (what persons do), `case_page` (for the parties), `caseload` (all of
it for one department). Of the department that is asked: `shapes` (the values of an answer) and `answering` (how it
answers).
"""
