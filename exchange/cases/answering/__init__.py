"""How a department answers questions of cases: by queries over its own database, or by people.

Read `items` (what connector.yaml says), `answer_tables`, `answerer` (one pass), `person_queue`, `answer_worker`.
"""
