"""The contract: topics.yaml as frozen models, its checks, its differences and its epochs."""
