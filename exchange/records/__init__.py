"""Record batches as columns: numba kernels over Kafka's and Avro's bytes.

Read `values` (strings in a buffer), `scan` (a batch becomes columns), `check` and `locate` (is it a record, and where
are its fields), `view` (what a grant's view makes of it), `build` (columns become a batch).
"""
