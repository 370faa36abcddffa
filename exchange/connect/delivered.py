"""What a reader gets of a subject: records of which schema, and what tells their rows apart in its table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from exchange.contract.key import hidden
from exchange.contract.model import Grant, Subject
from exchange.schema.avro import Schema, parse

ROW = "_row"
HANDLE_BYTES = 16
# Text, because people read, print and compare it in any database, and pseudonyms have the same form; bytes would save
# 16 bytes a row.
HANDLE = parse(f'{{"type": "record", "name": "RowHandle", "fields": [{{"name": "{ROW}", "type": "string"}}]}}')
"""The schema of a row's handle in a table: 32 hexadecimal digits."""


class Delivered(NamedTuple):
    """The schema of the records, and the columns by which a newer one replaces an older; none if all are kept.

    `fields`: all that are given, with those that only records of other schemas have.
    """

    schema: Schema
    key: tuple[str, ...]
    fields: frozenset[str]


class Written(NamedTuple):
    """The schema of records, and that of what is written of them: fields that are given no more are left out."""

    schema: Schema
    given: Schema


def row_key(subject: Subject, grant: Grant, everything: Sequence[str]) -> tuple[str, ...]:
    """The columns that tell the subject's rows apart in the reader's table; `everything` is what `all` means.

    These are the fields of the subject's key; or the row's handle, if the grant does not give all of them in clear.
    """
    return (ROW,) if hidden(subject, grant, everything) else subject.key
