"""Dropped files of which each is a whole register: what is published and missing in the newest one is deleted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from exchange.connect.config import SourceConfig
from exchange.connect.file_rows import blocks
from exchange.connect.file_source import PAGE_CHARS, FileReader, FileSource
from exchange.connect.published import others
from exchange.connect.roll_call import RollCall
from exchange.connect.source import Bad, Page, Progress

AT_ONCE = 5_000


class FullFileSource(FileSource):
    """Reads each file once more before it publishes any of it, for the keys; when all rows are published, it deletes.

    If rows are in the file whose key cannot be read, any row could be meant: then nothing is deleted, and the reject
    file says so. It knows the rows that were published since `mode: full` was set.
    """

    def __init__(
        self,
        config: SourceConfig,
        folder: Path,
        reader: FileReader,
        wanted: Sequence[str] | None,
        required: Sequence[str],
        roll_call: RollCall,
        **clocks: Callable[[], float],
    ) -> None:
        super().__init__(config, folder, reader, wanted, required, **clocks)
        self._roll_call = roll_call
        self._unreadable = 0

    def open(self, progress: Progress) -> None:
        self._roll_call.open(progress)
        super().open(others(progress))

    def pages(self) -> Iterator[Page]:
        for page in super().pages():
            yield self._roll_call.remembered(page)
        if self._roll_call.is_asking and not self._folder.taken():  # the file that raised the question was taken away
            yield from self._roll_call.settle()

    def close(self) -> None:
        self._roll_call.close()
        super().close()

    def _before(self, file: BinaryIO, progress: Mapping[str, bytes | None]) -> Iterator[Page]:
        rows = self._roll_call.rows
        rows.begin()
        self._unreadable = 0
        header, rest = self._header(file)
        for block in blocks("", rest, 0, AT_ONCE, PAGE_CHARS):
            names, unreadable = self._roll_call.encoder.names(self._rows(header, block))
            rows.see(names)
            self._unreadable += unreadable
        if not self._unreadable:
            for page in self._roll_call.check():
                # Where the file was, it stands still: it need not be seen complete again when that is answered.
                yield replace(page, progress={**page.progress, **progress})

    def _after(self, path: Path) -> Iterator[Page]:
        if not self._unreadable:
            yield from self._roll_call.deletions()
            return
        reason = f"nothing is deleted for this file: the key of {self._unreadable} of its rows cannot be read"
        yield Page([Bad(reason)], {}, [path.name])
        yield from self._roll_call.settle()
