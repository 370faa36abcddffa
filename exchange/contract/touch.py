"""What a change of a subject's schema means for a grant, in words."""

from __future__ import annotations

from collections.abc import Iterator

from exchange.contract.model import Grant
from exchange.schema.avro import Schema


def touched(grant: Grant, old: Schema, new: Schema) -> Iterator[str]:
    """Say how a schema change from `old` to `new` affects the grant's reader; yields nothing if it does not.

    A new field is not delivered until a grant names it: `all` means the fields that the subject had when the
    grant was first published.
    """
    given = grant.named({**old.fields, **new.fields})
    gained = [name for name in new.fields if name not in old.fields and name in given]
    lost = [name for name in old.fields if name not in new.fields and name in given]
    other = [n for n, f in new.fields.items() if n in given and n in old.fields and f.type != old.fields[n].type]
    if gained and grant.fields == "all":
        yield (
            f"grant {grant.id} does not give {grant.reader} the new {_fields(gained)} of {grant.subject}: "
            "list its fields with it, or publish another grant"
        )
    elif gained:
        yield f"grant {grant.id}: {grant.reader} gains the new {_fields(gained)} of {grant.subject}"
    if lost:
        yield f"grant {grant.id}: {grant.reader} no longer gets {_fields(lost)} of {grant.subject}"
    if other:
        yield f"grant {grant.id}: {grant.reader} gets {_fields(other)} of {grant.subject} with another type"


def _fields(names: list[str]) -> str:
    return f"field{'s' if len(names) > 1 else ''} {', '.join(names)}"
