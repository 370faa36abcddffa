"""What a reader's connector says of the rows that it holds of a subject: a record of the department's cursor topic."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime

from pydantic import BaseModel, ConfigDict, ValidationError

_KEY = "copy:"  # no subject's id begins so, with which the keys of sources' progress begin


class Copy(BaseModel):
    """The rows of one subject in a reader's database, as of `time`, held under `grant` until the end of day `until`.

    `rows` is None if they were not counted; `changed` is when rows last came or went. `deletes`: the rows are deleted
    when the grant has ended; that is due since `due`, and `done`, if this is so. `stuck`: rows that have to
    go and that the reader's database refuses to remove.
    """

    # A newer connector may say more than this reader of its reports knows.
    model_config = ConfigDict(frozen=True, extra="ignore")

    subject: str
    grant: str | None
    until: date | None
    deletes: bool
    rows: int | None
    changed: datetime | None
    due: datetime | None
    done: datetime | None
    time: datetime
    stuck: int = 0


def key_value(copy: Copy) -> tuple[bytes, bytes]:
    """The copy as key and value of a record.

    >>> from datetime import UTC
    >>> copy = Copy(subject="a.b", grant=None, until=None, deletes=False, rows=0, changed=None, due=None, done=None,
    ...             time=datetime(2026, 1, 1, tzinfo=UTC))
    >>> key_value(copy)[0]
    b'copy:a.b'
    """
    return f"{_KEY}{copy.subject}".encode(), copy.model_dump_json().encode()


def copies(records: Mapping[bytes, bytes]) -> list[Copy]:
    """The copies among these records of a cursor topic; a department writes there itself, so others are left out."""
    found = []
    for key, value in records.items():
        if key.startswith(_KEY.encode()):
            try:
                copy = Copy.model_validate_json(value)
            except ValidationError:
                continue
            if key_value(copy)[0] == key:
                found.append(copy)
    return found
