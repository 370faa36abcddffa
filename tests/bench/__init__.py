"""Side-by-side benchmarks: every candidate on the same broker, same records, rounds interleaved."""
