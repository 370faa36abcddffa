"""The kinds of step that a plan can have, each with its words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from exchange.bus.rule import Rule, in_words
from exchange.bus.topic import Topic
from exchange.contract.model import Epoch
from exchange.plan.grant_changes import AccessChange
from exchange.schema.compatibility import Level
from exchange.schema.registry import KeyValue

Part = Literal["topics", "acls", "schemas", "grants"]
"""The parts of a plan that can be applied alone, if no other part is needed first. Byte rates belong to `acls`."""
PARTS: tuple[Part, ...] = get_args(Part)


@dataclass(frozen=True)
class Change:
    """One step from the cluster as it is to the cluster as the contract wants it."""

    part: ClassVar[Part]
    target: str

    @property
    def kind(self) -> str:
        """A stable name for machines."""
        return type(self).__name__

    @property
    def text(self) -> str:
        """The step in words."""
        raise NotImplementedError


@dataclass(frozen=True)
class CreateTopic(Change):
    """Create a topic that the contract wants and the cluster lacks."""

    part = "topics"
    topic: Topic

    @property
    def text(self) -> str:
        size = f"{self.topic.partitions} partitions, {self.topic.replication} replicas"
        return f"create topic {self.target}: {size}{_configs(self.topic.configs)}"


@dataclass(frozen=True)
class AddPartitions(Change):
    """Add partitions to a topic that has fewer than the contract wants."""

    part = "topics"
    before: int
    after: int

    @property
    def text(self) -> str:
        return (
            f"add partitions to {self.target}: {self.before} → {self.after}; "
            "from then on a person's records can be in another partition than before, without order between the two"
        )


@dataclass(frozen=True)
class AlterConfigs(Change):
    """Change settings of a topic that differ from the contract."""

    part = "topics"
    before: Mapping[str, str | None]
    after: Mapping[str, str]

    @property
    def text(self) -> str:
        parts = [f"{k} {self.before.get(k) or 'default'} → {v}" for k, v in self.after.items()]
        return f"alter topic {self.target}: {', '.join(parts)}"


@dataclass(frozen=True)
class SetCompatibility(Change):
    """Set how a subject's schemas may change; the registry's topic holds this level."""

    part = "schemas"
    level: Level
    records: tuple[KeyValue, ...]

    @property
    def text(self) -> str:
        return f"set compatibility of {self.target or 'all schemas'}: {self.level.value}"


@dataclass(frozen=True)
class RegisterSchema(Change):
    """Register a schema that the registry's topic does not hold yet."""

    part = "schemas"
    id: int
    version: int
    records: tuple[KeyValue, ...]
    gained: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        parts = [f"register schema of {self.target}: version {self.version}, id {self.id}"]
        parts += [f"new fields {', '.join(self.gained)}"] if self.gained else []
        parts += [f"without {', '.join(self.lost)}"] if self.lost else []
        return "; ".join(parts)


@dataclass(frozen=True)
class SetRates(Change):
    """Limit a department's clients, in bytes per second by Kafka's key; None means no limit."""

    part = "acls"
    before: Mapping[str, int | None]
    after: Mapping[str, int | None]

    @property
    def text(self) -> str:
        parts = [f"{k} {self.before.get(k) or 'unlimited'} → {v or 'unlimited'}" for k, v in self.after.items()]
        return f"limit the clients of {self.target}: {', '.join(parts)}"


@dataclass(frozen=True)
class AllowAccess(Change):
    """Add rules that one principal needs and lacks."""

    part = "acls"
    rules: tuple[Rule, ...]

    @property
    def text(self) -> str:
        return f"let {self.target} {in_words(self.rules)}"


@dataclass(frozen=True)
class RemoveAccess(Change):
    """Remove rules that one principal has and must not have."""

    part = "acls"
    rules: tuple[Rule, ...]

    @property
    def text(self) -> str:
        return f"let {self.target} NO LONGER {in_words(self.rules)}"


@dataclass(frozen=True)
class DeleteTopic(Change):
    """Delete a topic; a person asked for this by name."""

    part = "topics"

    @property
    def text(self) -> str:
        return f"DELETE topic {self.target} with all its records"


@dataclass(frozen=True)
class PublishEpoch(Change):
    """Publish the contract as the next epoch."""

    part = "grants"
    epoch: Epoch
    differences: tuple[str, ...]
    access: tuple[AccessChange, ...] = ()

    @property
    def text(self) -> str:
        return f"publish the contract as epoch {self.epoch.number}"


@dataclass(frozen=True)
class RefusedChange:
    """Something that the contract asks for and that cannot be done; a plan with one is not applied."""

    part: Part
    target: str
    message: str
    remedy: str


def _configs(configs: Mapping[str, str]) -> str:
    return "".join(f", {name}={value}" for name, value in sorted(configs.items()))
