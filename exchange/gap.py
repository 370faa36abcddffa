"""A gap: records of a partition that Kafka no longer keeps and that a reader has not read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from exchange.errors import ConfigError

Cause = Literal["expired", "recreated", "truncated"]


@dataclass(frozen=True, order=True)
class Gap:
    """What a reader of a partition missed: it has read up to offset `first`, and can only go on at `next`.

    `expired`: retention or an administrator deleted the records in between. `recreated`: the topic was deleted and
    made again, with the id `topic_id`; what the old one held from `first` on is lost. `truncated`: the partition ends
    before `first`, so that a reader at `first` would miss new records.
    """

    topic: str
    partition: int
    first: int
    next: int
    cause: Cause
    topic_id: str

    @property
    def place(self) -> str:
        """Topic and partition.

        >>> Gap("subject.tax.income", 3, 10, 20, "expired", "x").place
        'subject.tax.income/3'
        """
        return f"{self.topic}/{self.partition}"

    @property
    def offsets(self) -> int | None:
        """How many offsets are gone, records and transaction markers alike; None if nobody can know."""
        return self.next - self.first if self.cause == "expired" else None

    def __str__(self) -> str:
        return f"{self.place}: {self.loss}"

    @property
    def loss(self) -> str:
        """What is lost, without the place.

        >>> Gap("subject.tax.income", 3, 10, 20, "expired", "x").loss
        'offsets 10 to 19 were deleted before they were read'
        """
        match self.cause:
            case "expired":
                return f"offsets {self.first} to {self.next - 1} were deleted before they were read"
            case "recreated":
                return (
                    "the topic was deleted and made again; "
                    f"what the old one held from offset {self.first} on and was not read is lost"
                )
        return f"ends at offset {self.next}, but was read up to {self.first}: it lost records"


class GapError(ConfigError):
    """A reader cannot go on without skipping records; a person must say so. `gaps` are all that were found."""

    code = "gap"
    remedy = "let an administrator accept the gap, or bring the records back"

    def __init__(self, gaps: tuple[Gap, ...], *, remedy: str = "") -> None:
        self.gaps = gaps
        super().__init__("; ".join(map(str, gaps)), remedy=remedy)
