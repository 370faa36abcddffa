"""What a source is: it yields pages of rows and says with each page how far it has come.

A department with an origin of its own (an API, a queue) subclasses `Source` and names the class in connector.yaml as
`python: file.py:Class`; `exchange.connect.testing` checks it.
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
    """A row that cannot be read at all, with the reason, but never with its content."""

    reason: str


@dataclass(frozen=True)
class Deleted:
    """A row that is gone: its key's fields, under the names that they have in the source's rows; more does no harm.

    Only a subject with a `key` has rows that can be deleted. A connector's `columns` apply to it as to any row, and its
    `transform`, too, if the file names one.
    """

    row: Row


@dataclass(frozen=True)
class Encoded:
    """A row that is a record already: Kafka key, value (null: the row is gone), and the row's name, if it is known."""

    key: bytes | None
    value: bytes | None
    name: bytes | None = None


class Unreadable:
    """A value that a database can hold and Python cannot, such as PostgreSQL's `infinity` or MySQL's `0000-00-00`.

    No field of a record accepts it, and it has no text, so that nobody publishes it by mistake. It sorts as in its
    database: before all that Python can hold if it is `early`, or else after that.
    """

    def __init__(self, stored: str, kind: str) -> None:
        self.stored = stored
        self.kind = kind

    @property
    def what(self) -> str:
        """What it is, in words."""
        return f"a {self.kind} out of range"

    @property
    def early(self) -> bool:
        """Whether it is before all that Python can hold."""
        return self.stored.startswith(("-", "0000-")) or self.stored.endswith(" BC")

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
    """Rows that become one transaction, and the progress that is committed with them.

    `places` names each row for the reject file, by index (a line, a position; no personal data). `progress` changes the
    source's progress: a name and its new bytes, or None to forget it. `oldest` is when the oldest of the rows was
    changed, as Unix time, if that is known.
    """

    rows: Sequence[Row | Deleted | Bad | Encoded]
    progress: Mapping[str, bytes | None]
    places: Sequence[str] = field(default=(), repr=False)
    oldest: float | None = None

    def place(self, index: int) -> str:
        """The place of row `index`, for the reject file."""
        return self.places[index] if self.places else f"row {index} of the page"


class Source(ABC):
    """Where the rows of one subject come from.

    The runner calls `open` with the last committed progress, then `pages` again and again. After any failure it makes a
    new object: only the committed progress is remembered. `is_told`: its origin sends what is new, so that a look costs
    the origin nothing; else looks become rarer if they take long.
    """

    is_told = False

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.options = options

    @abstractmethod
    def open(self, progress: Progress) -> None:
        """Connect, and go to where `progress` says. Raise TransientError to be called again later."""

    @abstractmethod
    def pages(self) -> Iterator[Page]:
        """Yield pages with what is new, oldest first; end when there is nothing more for now.

        When the iterator is advanced, the previous page has been committed for good.
        """

    def settled(self) -> bool:
        """Whether nothing is known to be waiting, such as a file that is still being written."""
        return True

    def left(self) -> int | None:
        """About how many rows are still to be read, if that is known; people see it as progress."""
        return None

    def close(self) -> None:
        """Disconnect; called once, even after a failure."""
        return None
