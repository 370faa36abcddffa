"""How rating rows become records: the reasons, kept as text, into a list."""

from collections.abc import Mapping
from typing import Any


def rating(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Split `reasons` at its semicolons; no text is no reasons."""
    text = row["reasons"]
    return {**row, "reasons": text.split(";") if text else []}
