"""An administrator's work on the cluster: topics, access rules, byte rates, members of groups."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from kafka.errors import NoError, RetriableError
from kafka.structs import OffsetAndMetadata, TopicPartition

from exchange.bus import acls, client_quotas
from exchange.bus.client_quotas import ByteRates
from exchange.bus.connection import BusUnavailableError, Cluster, translated
from exchange.bus.fence import fence, fenced
from exchange.bus.produce import Producer
from exchange.bus.rule import Rule
from exchange.bus.topic import Topic
from exchange.errors import ConfigError
from exchange.names import Partition
from exchange.waiting import ANSWER, patiently, until

_DESCRIBE_AT_ONCE = 200
_CREATE_AT_ONCE = 50
_READY_MS = 60_000
_BOOTSTRAP_MS = 10_000


class TopicRefusedError(ConfigError):
    """Kafka does not accept a topic as the contract describes it."""

    code = "topic-refused"
    remedy = "correct the subject's `topic` in the contract, or the cluster"


class Admin:
    """An administrator's connection, used in a `with` block; every method raises the bus's errors."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        with translated("reach the cluster"):
            self._client = KafkaAdminClient(**cluster.config(), bootstrap_timeout_ms=_BOOTSTRAP_MS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def cluster_id(self) -> str:
        """Kafka's own id of the cluster, which never changes."""
        with translated("describe the cluster"):
            return str(self._client.describe_cluster()["cluster_id"])

    def brokers(self) -> int:
        """How many brokers the cluster has now."""
        with translated("describe the cluster"):
            return len(self._client.describe_cluster()["brokers"])

    def topics(self) -> dict[str, Topic]:
        """Every topic except Kafka's internal ones, with the configs that were set for it."""
        with translated("describe topics"):
            found = [t for t in self._client.describe_topics() if not t["is_internal"] and not t["error_code"]]
            configs: dict[str, dict[str, str]] = {}
            for some in _slices([t["name"] for t in found], _DESCRIBE_AT_ONCE):
                configs |= self._configs(some)
        return {
            t["name"]: Topic(len(t["partitions"]), len(t["partitions"][0]["replica_nodes"]), configs.get(t["name"], {}))
            for t in found
        }

    def create(self, topics: Mapping[str, Topic]) -> None:
        """Create topics and wait until each can be written; raises TopicRefusedError with those that Kafka refuses."""
        for some in _slices(list(topics), _CREATE_AT_ONCE):
            wanted: dict[str, Any] = {
                name: {
                    "num_partitions": topics[name].partitions,
                    "replication_factor": topics[name].replication,
                    "configs": dict(topics[name].configs),
                }
                for name in some
            }
            with translated("create topics"):
                result = self._client.create_topics(wanted, raise_errors=False)
                _refuse((t["name"], t["error_message"]) for t in result["topics"] if t["error_code"])
                self._client.wait_for_topics(some, timeout_ms=_READY_MS)

    def add_partitions(self, topic: str, total: int) -> None:
        """Increase the topic's partitions to `total`."""
        with translated(f"add partitions to {topic}"):
            self._client.create_partitions({topic: total})

    def alter(self, topic: str, configs: Mapping[str, str]) -> None:
        """Set these configs of the topic; its other configs stay."""
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, configs=dict(configs))
        with translated(f"configure {topic}"):
            result = self._client.alter_configs([resource], incremental=True)
        _refuse((name, str(outcome)) for name, outcome in result["topic"].items() if outcome != "OK")

    def delete(self, topics: Collection[str], *, timeout_s: float = 60.0) -> None:
        """Delete the topics with all their records, and wait until they are gone."""
        with translated("delete topics"):
            self._client.delete_topics(list(topics))
            if not until(lambda: set(topics).isdisjoint(self._client.list_topics()), timeout_s):
                raise BusUnavailableError(f"deleted topics were still there after {timeout_s:.0f} s")

    def access(self) -> frozenset[Rule] | None:
        """Every access rule of the cluster, including other people's; None if the cluster has no authorizer."""
        with translated("describe access rules"):
            return acls.describe(self._client)

    def allow(self, rules: Collection[Rule]) -> None:
        """Add access rules and wait until they are in force; raises AccessRefusedError if Kafka does not accept one."""
        if rules:
            with translated("add access rules"):
                acls.create(self._client, rules)
            self._wait(lambda: set(rules) <= (self.access() or set()), "added access rules")

    def withdraw(self, rules: Collection[Rule]) -> None:
        """Remove exactly these access rules, and wait until they are no longer in force."""
        if rules:
            with translated("remove access rules"):
                acls.delete(self._client, rules)
            self._wait(lambda: not set(rules) & (self.access() or set()), "removed access rules")

    def rates(self) -> dict[str, ByteRates]:
        """Bytes per second by user and key (`producer_byte_rate`, `consumer_byte_rate`)."""
        with translated("describe byte rates"):
            return client_quotas.describe(self._client)

    def set_rates(self, wanted: Mapping[str, Mapping[str, int | None]]) -> None:
        """Set byte rates of users, or remove those that are None, and wait until they are in force."""
        if wanted:
            with translated("set byte rates"):
                client_quotas.alter(self._client, wanted)
            self._wait(lambda: _have(self.rates(), wanted), "byte rates")

    def _wait(self, done: Callable[[], bool], what: str, *, timeout_s: float = 30.0) -> None:
        """Wait until the broker has heard what its controller decided."""
        if not until(done, timeout_s):
            raise BusUnavailableError(f"{what} are not in force after {timeout_s:.0f} s", remedy="run it again")

    def clients(self, group: str, *, timeout_s: float = 30.0) -> set[str]:
        """The client ids of a group's members; empty if there is no such group.

        Waits while the group's coordinator is being elected or loaded, as after a broker's start.
        """
        with translated(f"describe group {group}"):
            return _patiently(lambda: self._members(group), timeout_s)

    def committed(self, group: str, place: Partition, *, timeout_s: float = 30.0) -> tuple[int, str] | None:
        """The group's committed offset for a partition and the note stored with it; None if it committed nothing."""
        tp = TopicPartition(*place)
        with translated(f"read what group {group} has committed"):
            found = _patiently(lambda: self._client.list_group_offsets({group: [tp]}), timeout_s)[group].get(tp)
        return None if found is None or found.offset < 0 else (found.offset, found.metadata)

    def commit(self, group: str, place: Partition, offset: int, note: str, *, timeout_s: float = 30.0) -> None:
        """Commit an offset with a note, for a group that has no members."""
        tp = TopicPartition(*place)
        offsets = {tp: OffsetAndMetadata(offset, note, -1)}

        def ask() -> None:
            error = self._client.alter_group_offsets(group, offsets)[tp]
            if error is not NoError:
                raise error

        with translated(f"commit an offset of group {group}"):
            _patiently(ask, timeout_s)

    def transactional_ids(self, prefix: str, *, timeout_s: float = 30.0) -> set[str]:
        """The transactional ids with that prefix under which a producer was opened lately (Kafka's default: 7 days).

        Includes ids without an open transaction. Waits while a coordinator is being elected or loaded.
        """
        with translated("list transactions"):
            listed = _patiently(self._client.list_transactions, timeout_s)
        names = (one.transactional_id for listings in listed.values() for one in listings)
        return {name for name in names if name.startswith(prefix)}

    def fence(self, transactional_ids: Collection[str]) -> set[str]:
        """Abort what is open under these ids, and make Kafka refuse whatever their producers still send.

        Returns when that is done, with the ids that were not fenced already; raises TransientError if one could not
        be fenced.
        """
        with translated("fence producers"):
            left = set(transactional_ids) - fenced(self._client, transactional_ids)
            for name in fence(self._client, left):
                Producer(self._cluster, name).discard()  # slower: it searches until it finds the coordinator
        return left

    def _members(self, group: str) -> set[str]:
        # Describing a group that nobody ever joined would make a new cluster create its offsets topic first.
        if all(known["group_id"] != group for known in self._client.list_groups()):
            return set()
        described = self._client.describe_groups([group])
        return {member["client_id"] for member in described[group]["members"]}

    def _configs(self, names: Sequence[str]) -> dict[str, dict[str, str]]:
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        described = self._client.describe_configs(resources, config_filter="modified").get("topic", {})
        return {
            topic: {k: c["value"] for k, c in configs.items() if c["config_source"] == "DYNAMIC_TOPIC_CONFIG"}
            for topic, configs in described.items()
        }


def _patiently(ask: Callable[[], ANSWER], timeout_s: float) -> ANSWER:
    """Ask until Kafka answers: it may be unable to for a moment."""
    return patiently(ask, lambda error: isinstance(error, RetriableError), timeout_s)


def _have(rates: Mapping[str, ByteRates], wanted: Mapping[str, Mapping[str, int | None]]) -> bool:
    return all(rates.get(user, {}).get(key) == rate for user, each in wanted.items() for key, rate in each.items())


def _slices(names: list[str], size: int) -> Iterable[list[str]]:
    return (names[i : i + size] for i in range(0, len(names), size))


def _refuse(faults: Iterable[tuple[str, str | None]]) -> None:
    topics = defaultdict[str, list[str]](list)
    for topic, message in faults:
        topics[message or "no reason given"].append(topic)
    if topics:
        raise TopicRefusedError("; ".join(f"{', '.join(refused)}: {message}" for message, refused in topics.items()))
