"""A topic's shape and settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Topic:
    """A topic as it is, or as it should be; `configs` has only what is set for this topic itself."""

    partitions: int
    replication: int
    configs: Mapping[str, str] = field(default_factory=dict)
