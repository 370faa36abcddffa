"""The changes of one slot as pages: what the stream sends becomes rows, and what is committed is confirmed."""

from __future__ import annotations

import time
from collections.abc import Iterator

from exchange.connect.cdc.captured import Captured
from exchange.connect.cdc.following import Following, LoggedPart
from exchange.connect.cdc.stream import AT_ONCE, Stream
from exchange.connect.database import translated
from exchange.connect.source import Page
from exchange.records.values import Values

PAGE_BYTES = 8 << 20  # of messages that become one transaction
MESSAGES_A_ROW = 3  # begin, change, commit
# A transaction of Kafka costs as much for one row as for a thousand; while rows follow each other, they wait so long.
PAUSE_S, GATHER_S = 0.002, 0.1


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
        while messages := self._arrived(page_rows):
            strings, at = Values.of([*messages, b"\0"]), 0
            while at < strings.rows:
                at, taken = self._following.take_many(strings, at, page_rows)
                if taken.rows:
                    yield self._page(taken)
                    self._confirm(self._following.ended)
        self._confirm(self._stream.sent)

    def _arrived(self, page_rows: int) -> list[bytes]:
        """The messages that have arrived, and what follows them at once, as long as it fits into a page or so."""
        messages: list[bytes] = []
        held, until = 0, time.monotonic() + GATHER_S
        while len(messages) < MESSAGES_A_ROW * page_rows and held < PAGE_BYTES:
            with translated(self._what):
                more = self._stream.receive()
            messages += more
            held += sum(map(len, more))
            if not more or time.monotonic() > until:
                break
            if len(more) < AT_ONCE:
                time.sleep(PAUSE_S)
        return messages

    def has_passed(self, place: int) -> bool:
        """Whether everything before that place in the log was received, and was in the pages."""
        return max(self._stream.sent, self._following.ended) >= place

    def _page(self, taken: LoggedPart) -> Page:
        before, self.position = self.position, self._following.position
        progress = self.position.taken_progress()
        if self.position.parts != before.parts:
            progress |= self.position.read_progress()
        return Page(taken.rows, progress, taken.places, taken.oldest)

    def _confirm(self, taken: int) -> None:
        """All rows that were taken are committed, so that the slot need not keep what is before that place."""
        with translated(self._what):
            self._stream.confirm(int(min(max(taken, self._following.ended), self._keep)))
