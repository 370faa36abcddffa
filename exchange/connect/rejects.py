"""The reject file: rows that were not published, each with its place and the reason, never its content."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from exchange import private
from exchange.errors import TransientError


class RejectFileError(TransientError):
    """The reject file cannot be written, so nothing may be passed over."""

    code = "reject-file"


class RejectFile:
    """One JSON object per line: `time`, `place`, `reason`.

    Written before the page is committed: after a kill the same place can stand there twice.
    """

    def __init__(self, home: Path, subject: str) -> None:
        self.path = home / "rejects" / f"{subject}.jsonl"

    def write(self, rejected: Sequence[tuple[str, str]], now: datetime | None = None) -> None:
        """Append (place, reason) pairs and see them on the disk."""
        stamp = (now or datetime.now(UTC)).isoformat(timespec="seconds")
        lines = [
            json.dumps({"time": stamp, "place": place, "reason": reason}, ensure_ascii=False) + "\n"
            for place, reason in rejected
        ]
        try:
            private.folder(self.path.parent)
            with self.path.open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.write("".join(lines))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise RejectFileError(f"{self.path} cannot be written: {error.strerror}") from error
