"""Quix Streams, exactly once; runs in a venv of its own because its pins exclude ours (see quix.txt)."""

from __future__ import annotations

from quixstreams import Application
from quixstreams.models import TopicConfig
from task import WIRE_BYTES, Task, encoder, takes  # the script's own folder: nothing of ours is in that venv


def main(task: Task) -> None:
    application = Application(
        broker_address=task.servers,
        consumer_group=task.name,
        processing_guarantee="exactly-once",
        auto_offset_reset="earliest",
        auto_create_topics=False,
        commit_interval=0.5,
        commit_every=20_000,
        consumer_extra_config={
            "queued.max.messages.kbytes": 65_536,
            "queued.min.messages": 200_000,
            "max.partition.fetch.bytes": 8_388_608,
        },
        producer_extra_config={
            "linger.ms": 2,
            "retry.backoff.ms": 5,
            "batch.size": 1_000_000,
            "batch.num.messages": 100_000,
            "queue.buffering.max.messages": 1_000_000,
        },
        state_dir=f"{task.folder}/{task.name}",
        loglevel="WARNING",
    )
    one = TopicConfig(num_partitions=1, replication_factor=1)
    as_bytes = dict.fromkeys(("key_deserializer", "key_serializer", "value_deserializer", "value_serializer"), "bytes")
    head = task.head
    granted = application.dataframe(application.topic(task.source, config=one, **as_bytes))
    granted = granted.filter(lambda value: value[:WIRE_BYTES] == head)
    if task.projects:
        granted = granted.apply(task.decoder())
    for view in task.views:
        made = granted.filter(takes(view)).apply(encoder(view)) if task.projects else granted
        keyless = {} if view.get("keeps_key", True) else {"key": lambda value: None}
        for inbox in view["inboxes"]:
            made.to_topic(application.topic(inbox, config=one, **as_bytes), **keyless)
    application.run()


if __name__ == "__main__":
    main(Task.from_arguments())
