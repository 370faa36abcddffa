"""A view's schema has the kept fields, in order, and stands on its own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from exchange.schema.avro import SchemaError, parse
from exchange.schema.project import project

MONEY = {"type": "record", "name": "Money", "fields": [{"name": "unit", "type": "Unit"}, {"name": "n", "type": "long"}]}
FIELDS: list[dict[str, Any]] = [
    {"name": "unit", "type": {"type": "enum", "name": "Unit", "symbols": ["yuan"], "doc": "What it is in."}},
    {"name": "paid", "type": ["null", MONEY], "default": None, "doc": "What was paid."},
    {"name": "due", "type": {"type": "array", "items": "Money"}},
    {"name": "id", "type": "string"},
]
SCHEMA = parse(json.dumps({"type": "record", "name": "Bill", "namespace": "tax", "doc": "For Li.", "fields": FIELDS}))


def test_fields_keep_their_order_type_default_and_doc() -> None:
    view = project(SCHEMA, ["id", "paid"])
    assert view.name == "tax.BillView"
    assert list(view.fields) == ["paid", "id"]
    paid = view.definition["fields"][0]
    assert (paid["default"], paid["doc"]) == (None, "What was paid.")


def test_a_type_defined_in_a_dropped_field_is_defined_at_its_first_use() -> None:
    view = project(SCHEMA, ["due"])
    assert set(view.names) == {"tax.BillView", "tax.Money", "tax.Unit"}
    assert view.names["tax.Unit"] == SCHEMA.names["tax.Unit"]
    assert project(SCHEMA, ["paid", "due"]).definition["fields"][1]["type"]["items"] == "tax.Money"


def test_nothing_of_the_other_fields_or_the_whole_record_is_left() -> None:
    text = project(SCHEMA, ["id"]).text
    assert not any(word in text for word in ("unit", "Money", "paid", "due", "Li"))


def test_equal_fields_give_equal_text_whatever_their_order() -> None:
    assert project(SCHEMA, ["id", "due"]).text == project(SCHEMA, ["due", "id"]).text


def test_the_name_differs_from_every_type_inside() -> None:
    inner = {"type": "record", "name": "RView", "fields": [{"name": "x", "type": "int"}]}
    schema = parse(json.dumps({"type": "record", "name": "R", "fields": [{"name": "a", "type": inner}]}))
    assert project(schema, ["a"]).name == "RViewView"


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(SchemaError, match="no field nope"):
        project(SCHEMA, ["id", "nope"])
