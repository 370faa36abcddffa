"""The contract's JSON Schema, for editors."""

from __future__ import annotations

import json

from exchange.contract.model import Contract


def contract_schema() -> str:
    """The JSON Schema of `topics.yaml`, generated from the models.

    An editor with the YAML language server uses it if the file begins with
    `# yaml-language-server: $schema=schemas/contract.schema.json`.
    """
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Contract.model_json_schema(by_alias=True)
    return json.dumps(schema, ensure_ascii=False, indent=2) + "\n"
