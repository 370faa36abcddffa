"""What a source is: it yields pages of rows, and says with each how far it has come.

A department with an origin of its own (an API, a queue) subclasses `Source` and names the class
in connector.yaml as `python: file.py:Class`; `exchange.connect.testing` checks it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Row = Mapping[str, Any]
Progress = Mapping[str, bytes]


@dataclass(frozen=True)
class Bad:
    """A row that cannot be read at all, with the reason; never with its content."""

    reason: str


class Unreadable:
    """A value that a database holds and Python does not, such as PostgreSQL's `infinity` or a year before Christ.

    No field of a record takes it, and it has no text, so that nobody publishes it by mistake. It sorts
    as its database sorts it: `early`, before all that Python can hold, or else behind that.
    """

    def __init__(self, stored: str, kind: str) -> None:
        self.stored = stored
        self.kind = kind

    @property
    def early(self) -> bool:
        """Whether it is a day before all that Python can hold."""
        return self.stored.startswith("-") or self.stored.endswith(" BC")

    def __str__(self) -> str:
        raise ValueError(f"a {self.kind} that Python cannot hold has no text")

    def __repr__(self) -> str:
        return f"<{self.kind} that Python cannot hold>"

    def __lt__(self, other: object) -> bool:
        return self.early and not isinstance(other, Unreadable)

    def __gt__(self, other: object) -> bool:
        return not self.early and not isinstance(other, Unreadable)


@dataclass(frozen=True)
class Page:
    """Rows that become one transaction, and the progress that is written in it.

    `places` names each row for the reject file (a line, a position; no personal data), by index.
    `progress` changes the source's progress: a name and its new bytes, or None to forget it.
    `oldest` is when the oldest of the rows was changed, as Unix time, where that is known.
    """

    rows: Sequence[Row | Bad]
    progress: Mapping[str, bytes | None]
    places: Sequence[str] = field(default=(), repr=False)
    oldest: float | None = None

    def place(self, index: int) -> str:
        """What the reject file says about where row `index` is."""
        return self.places[index] if self.places else f"row {index} of the page"


class Source(ABC):
    """Where the rows of one subject come from.

    The runner calls `open` with the progress that was last committed, then `pages` again and again.
    After any failure it makes a new object: nothing but the committed progress is remembered.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.options = options

    @abstractmethod
    def open(self, progress: Progress) -> None:
        """Connect, and go to where `progress` says. TransientError: try again later."""

    @abstractmethod
    def pages(self) -> Iterator[Page]:
        """Pages with what is new, oldest first; ends when there is nothing more for now.

        When the iterator is advanced, the page before has been committed for good.
        """

    def settled(self) -> bool:
        """Whether nothing known is still waiting to be taken, such as a file that is being written."""
        return True

    def close(self) -> None:
        """Disconnect; called once, also after a failure."""
        return None
