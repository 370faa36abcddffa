"""An API that is asked for all its rows each time: what changed is published, and what is missing is deleted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from exchange.connect.config import SourceConfig
from exchange.connect.published import Leftovers, others
from exchange.connect.roll_call import RollCall
from exchange.connect.source import Bad, Deleted, Encoded, Page, Progress, Row
from exchange.connect.web.pull_source import PullSource, tagged
from exchange.connect.web.versions import ENTRY, GONE, Versions
from exchange.connect.web.web_client import WebClient
from exchange.errors import RecordError


class FullPull(PullSource):
    """Yields the rows of each pull that are new or changed, then deletions; while a question is open, nothing.

    If rows came whose key cannot be read, any row could be meant: then nothing is deleted.
    """

    def __init__(
        self, config: SourceConfig, client: WebClient, wanted: Sequence[str] | None, roll_call: RollCall
    ) -> None:
        super().__init__(config, client, wanted)
        self._roll_call = roll_call
        self._versions: Versions | None = None

    def open(self, progress: Progress) -> None:
        self._roll_call.open(progress)
        own = others(progress)
        self._versions = Versions(own)
        self._leftovers = Leftovers(dict.fromkeys(name for name in own if not name.startswith(ENTRY)))

    def close(self) -> None:
        self._roll_call.close()
        if self._versions is not None:
            self._versions.close()
        super().close()

    def pages(self) -> Iterator[Page]:
        assert self._versions is not None
        yield from self._leftovers.pages()
        began = datetime.now(UTC).isoformat(timespec="seconds")
        is_asking, self._unreadable, self._is_new = self._roll_call.is_asking, 0, False
        self._roll_call.rows.begin()
        for number, rows in enumerate(self._answers.of({}), 1):
            for at in range(0, len(rows), self._config.page_rows):
                place = f"pull of {began}, answer {number}, row"
                page = self._changed(rows[at : at + self._config.page_rows], place, at, is_asking=is_asking)
                if page.rows:
                    yield page
        yield from self._gone(began)
        if tidied := self._versions.tidied():
            yield Page([], tidied)

    def _changed(self, rows: Sequence[Any], place: str, before: int, *, is_asking: bool) -> Page:
        """The rows that are new or changed; all of them count as there."""
        assert self._versions is not None
        held: list[Row | Deleted | Bad] = []
        places: list[str] = []
        versions: dict[bytes, bytes] = {}
        there: list[bytes] = []
        for at, row in enumerate(rows, before + 1):
            made, tag, named = self._made(row), tagged(row), self._name(row)
            name = named or tag  # one without a name is rejected once
            if named is not None and not isinstance(made, Deleted):
                there.append(named)
            if not self._versions.has(name, tag):
                held.append(made)
                places.append(f"{place} {at}")
                versions[name] = tag
        self._roll_call.rows.see(there)
        if is_asking or not held:
            return Page([], {})
        self._is_new = True
        page = self._roll_call.remembered(Page(held, {}, places))
        return replace(page, progress={**page.progress, **self._versions.note(versions)})

    def _name(self, row: Any) -> bytes | None:
        """The row's name; None if it cannot be read, or if the transform skips the row."""
        columns = self._columns(row)
        try:
            if columns is not None:
                return self._roll_call.encoder.name(columns)
        except RecordError:
            pass
        self._unreadable += 1
        return None

    def _gone(self, began: str) -> Iterator[Page]:
        assert self._versions is not None
        if self._unreadable:
            if self._is_new:
                reason = f"nothing is deleted for this pull: the key of {self._unreadable} of its rows cannot be read"
                yield Page([Bad(reason)], {}, [f"pull of {began}"])
            return
        yield from self._roll_call.check()
        for page in self._roll_call.deletions():
            names = [row.name for row in page.rows if isinstance(row, Encoded) and row.name is not None]
            yield replace(page, progress={**page.progress, **self._versions.note(dict.fromkeys(names, GONE))})
