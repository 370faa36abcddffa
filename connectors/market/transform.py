"""How company rows become records: the shareholders, kept as JSON text, into a list."""

import json
from collections.abc import Mapping
from typing import Any


def company(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Read the JSON text of `shareholders`."""
    return {**row, "shareholders": json.loads(row["shareholders"])}
