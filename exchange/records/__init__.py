"""Record batches as columns: numba kernels over Kafka's and Avro's bytes."""
