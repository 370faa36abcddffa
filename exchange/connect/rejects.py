"""The reject file: rows that were not published, each with its place and the reason, never with its content."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from exchange import private
from exchange.errors import TransientError


class RejectFileError(TransientError):
    """The reject file cannot be written, so no row may be skipped."""

    code = "reject-file"
    remedy = "make room, or let the connector's user write in its folder"


class RejectFile:
    """One JSON object per line: `time`, `place`, `reason`.

    It is written before the page is committed, so after a kill the same place can appear twice. A line that a kill or a
    full disk cut short is kept apart from the next one.
    """

    def __init__(self, home: Path, subject: str) -> None:
        self.path = home / "rejects" / f"{subject}.jsonl"

    def write(self, rejected: Sequence[tuple[str, str]], now: datetime | None = None) -> None:
        """Append (place, reason) pairs and wait until they are on the disk."""
        stamp = (now or datetime.now(UTC)).isoformat(timespec="seconds")
        lines = [
            json.dumps({"time": stamp, "place": place, "reason": reason}, ensure_ascii=False) + "\n"
            for place, reason in rejected
        ]
        try:
            private.folder(self.path.parent)
            with self.path.open("a+b") as file:
                torn = file.tell() > 0 and os.pread(file.fileno(), 1, file.tell() - 1) != b"\n"
                file.write(b"\n" * torn + "".join(lines).encode(errors="backslashreplace"))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise RejectFileError(f"{self.path} cannot be written: {error.strerror}") from error
