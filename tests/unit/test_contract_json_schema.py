"""The JSON Schema for editors is the models', and agrees with them about the repository's contract."""

from __future__ import annotations

import json
from pathlib import Path

from exchange.contract.json_schema import contract_schema

FILE = Path(__file__).parents[2] / "schemas" / "contract.schema.json"


def test_the_committed_file_is_current() -> None:
    assert FILE.read_text(encoding="utf-8") == contract_schema(), "run `exchange schema export`"


def test_keys_are_those_of_the_file() -> None:
    definitions = json.loads(contract_schema())["$defs"]
    assert {"from", "until", "fields"} <= set(definitions["Grant"]["properties"])
    assert "schema" in definitions["Subject"]["properties"]
    assert "in" in definitions["Condition"]["properties"]
    assert definitions["Grant"]["additionalProperties"] is False
