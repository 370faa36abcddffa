"""The changes of one slot as pages: what the stream sends becomes rows, and what is committed is confirmed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import overload

from exchange.connect.cdc.captured import Captured
from exchange.connect.cdc.following import Following
from exchange.connect.cdc.pgoutput import Begin, decode
from exchange.connect.cdc.stream import Stream
from exchange.connect.database import translated
from exchange.connect.source import Bad, Deleted, Page, Row

PAGE_BYTES = 8 << 20  # of messages that become one transaction


class SlotPages:
    """Changes that a slot sends from now on; `position` is that of the last page. Nothing after `keep` is confirmed."""

    def __init__(
        self,
        subject: str,
        stream: Stream,
        slot: str,
        publication: str,
        following: Following,
        *,
        keep: float = float("inf"),
    ) -> None:
        self._what = f"follow {subject}"
        self._stream = stream
        self._following = following
        self._keep = keep
        self.position: Captured = following.position
        with translated(self._what):
            stream.start(slot, publication, following.position.commit)

    def pages(self, page_rows: int) -> Iterator[Page]:
        """The changes that have arrived."""
        page = _Gathered()
        while True:
            with translated(self._what):
                messages = self._stream.receive()
            for message in messages:
                page.add(self._following.take(decode(message)), len(message), self._following)
                if len(page.rows) >= page_rows or page.held >= PAGE_BYTES:
                    yield self._page(page)
                    page = _Gathered()
                    self._confirm(self._following.ended)
            if not messages:
                break
        if page.rows:
            yield self._page(page)
        self._confirm(self._stream.sent)

    def has_passed(self, place: int) -> bool:
        """Whether everything before that place in the log was received, and was in the pages."""
        return max(self._stream.sent, self._following.ended) >= place

    def _page(self, page: _Gathered) -> Page:
        before, self.position = self.position, self._following.position
        progress = self.position.taken_progress()
        if self.position.parts != before.parts:
            progress |= self.position.read_progress()
        return Page(page.rows, progress, page.places, page.oldest)

    def _confirm(self, taken: int) -> None:
        """All rows that were taken are committed, so that the slot need not keep what is before that place."""
        with translated(self._what):
            self._stream.confirm(int(min(max(taken, self._following.ended), self._keep)))


class _Gathered:
    """Rows that become a page."""

    def __init__(self) -> None:
        self.rows: list[Row | Deleted | Bad] = []
        self.places = _Places()
        self.held = 0
        self.oldest: float | None = None

    def add(self, rows: Sequence[Row | Deleted | Bad], size: int, following: Following) -> None:
        """Append rows that came from a message of that size."""
        if not rows:
            return
        if not self.rows:
            self.oldest = following.committed_at
        self.rows += rows
        self.places.extend([following.place] * len(rows))
        self.held += size


class _Places(Sequence[str]):
    """Where rows come from, written for people only if somebody asks: hardly any row is rejected."""

    def __init__(self) -> None:
        self._places: list[tuple[int, Begin]] = []

    def extend(self, places: Iterable[tuple[int, Begin]]) -> None:
        """Append the changes' numbers in their transactions."""
        self._places.extend(places)

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        change, at = self._places[index]
        moment = datetime.fromtimestamp(at.committed_at, UTC).isoformat(timespec="milliseconds")
        return f"change {change} of transaction {at.xid}, committed {moment}"
