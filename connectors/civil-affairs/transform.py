"""How assistance rows become records: the members, kept as JSON text, into a list."""

import json
from collections.abc import Mapping
from typing import Any


def assistance(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Read the JSON text of `members`."""
    return {**row, "members": json.loads(row["members"])}
