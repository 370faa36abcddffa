"""What a grant gives once its contract is published: which fields, in which schema."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from exchange.contract.masks import masked_type
from exchange.contract.model import Epoch, Grant
from exchange.schema.avro import Schema
from exchange.schema.project import project


class Extent(NamedTuple):
    """`pinned`: the fields that `all` means, None if the grant names its fields. `view`: None if records pass whole."""

    pinned: tuple[str, ...] | None
    view: Schema | None


def extent(grant: Grant, newest: Schema, carried: Iterable[str], last: Epoch | None) -> Extent:
    """What the grant gives if it is published after epoch `last`, by the subject's newest schema.

    `carried` are the fields that records may carry, by any schema of the subject. `all` means those that the subject
    had when the grant was first published, which may be now. Records pass whole if no mask changes them and `all`
    still covers every field.
    """
    pinned = None
    if grant.fields == "all":
        every = tuple(dict.fromkeys(carried))
        pinned = _published(grant, last) or every
        if not grant.masks and set(every) <= set(pinned):
            return Extent(pinned, None)
    fields = grant.named([name for name in newest.fields if name in (pinned or ())])
    types = {name: masked_type(mask, newest.fields[name]) for name, mask in grant.masks.items()}
    return Extent(pinned, project(newest, fields, types))


def _published(grant: Grant, last: Epoch | None) -> tuple[str, ...] | None:
    """The fields that `all` has meant since the grant was first published; a new reader or subject makes it new."""
    before = ((g.id, g.subject, g.reader) for g in last.contract.grants) if last else ()
    return last.pinned.get(grant.id) if last and (grant.id, grant.subject, grant.reader) in before else None
