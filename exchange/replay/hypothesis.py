"""An epoch as it would be with other grants: what a replay decides by, or what a draft would give."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from exchange.contract.check import Check
from exchange.contract.epoch import alone
from exchange.contract.extent import extent
from exchange.contract.model import Epoch, Grant
from exchange.document.problem import ContractError, Problem
from exchange.document.yaml import Document, read
from exchange.schema import avro

_UNSAID = {
    "id": "draft",
    "purpose": {"code": "draft", "basis": "draft", "text": "draft"},
    "until": "9999-12-31",
}


def read_draft(data: bytes, name: str, epoch: Epoch, today: date) -> Grant:
    """Read the one grant in a YAML file, written as in the contract file, and check it against the epoch's contract.

    If `id` or `purpose` is missing, it is made up; a missing period starts today. Grants of the reader that the draft
    would replace do not count. Raises ContractError with every mistake; `name` is what messages call the file.
    """
    document = read(data)
    value, depth = document.value, 0
    if isinstance(value, list) and len(value) == 1:
        value, depth = value[0], 1
    if not document.problems and not isinstance(value, dict):
        document.problems.append(Problem(1, "", "the file is not one grant", "write its keys: `subject: …`"))
    if document.problems:
        raise ContractError(name, document.problems)
    said = {**_UNSAID, "from": today.isoformat(), **value}
    lines = {("grants", 0, *path[depth:]): line for path, line in document.lines.items() if len(path) >= depth}
    check = _checked(epoch, said, lines, today)
    of_draft = [p for p in check.problems if p.severity == "error" and p.path.startswith("grants[0]")]
    if of_draft:
        raise ContractError(name, of_draft)
    return Grant.model_validate(said)


def drafted(epoch: Epoch, grant: Grant) -> Epoch:
    """The epoch as if `grant` were its only grant and had just been applied; its schema gets an id of its own."""
    writers = [avro.parse(epoch.schemas[schema_id]) for schema_id in epoch.writers[grant.subject]]
    pinned, view = extent(grant, writers[-1], (name for writer in writers for name in writer.fields), epoch)
    update: dict[str, Any] = {"views": {}, "pinned": {grant.id: pinned} if pinned else {}}
    if view:
        schema_id = max(epoch.schemas) + 1
        update |= {"views": {grant.id: schema_id}, "schemas": {**epoch.schemas, schema_id: view.text}}
    return alone(epoch, grant).model_copy(update=update)


def _checked(epoch: Epoch, said: Mapping[str, Any], lines: Mapping[tuple[str | int, ...], int], today: date) -> Check:
    """The check of the epoch's contract with this grant alone, as if it were a file."""
    value = epoch.contract.model_dump(mode="json", by_alias=True, exclude_defaults=True) | {"grants": [dict(said)]}
    texts = {s.schema_file: epoch.schemas[epoch.writers[s.id][-1]] for s in epoch.contract.subjects}
    return Check(Document(value, None, dict(lines)), lambda entry: avro.parse(texts[entry]), today)
