"""The API description: an example of every body, which its own model takes; what a sealed body of the marketplace
holds, at each of its addresses; what comes over a WebSocket (M-1 to M-28)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel

from keys.parcel import Parcel
from node.api.handlers import OPERATIONS
from node.api.marketplace import MARKETPLACE
from node.api.openapi import openapi_document
from node.api.operations import Operation
from node.app.facade.marketplace import ADDRESSES

DOCUMENT = openapi_document(OPERATIONS, "1")
SCHEMAS = DOCUMENT["components"]["schemas"]
WITH_BODY = [each for each in OPERATIONS if isinstance(each.body, type)]


def _described(operation: Operation) -> dict[str, Any]:
    found: dict[str, Any] = DOCUMENT["paths"][operation.path][operation.method.lower()]
    return found


@pytest.mark.parametrize("operation", WITH_BODY, ids=lambda each: each.name)
def test_every_body_has_an_example_that_is_taken(operation: Operation) -> None:
    content = _described(operation)["requestBody"]["content"]["application/json"]
    schema = SCHEMAS[content["schema"]["$ref"].rpartition("/")[2]]
    examples = [content["example"]] if "example" in content else schema["examples"]
    assert examples
    assert isinstance(operation.body, type)
    assert issubclass(operation.body, BaseModel)
    for example in examples:
        operation.body.model_validate_json(json.dumps(example))


@pytest.mark.parametrize("path", sorted(MARKETPLACE))
def test_each_address_of_the_marketplace_says_what_is_sealed_for_it(path: str) -> None:
    """Kind of the parcel, schema of its body, and the signed messages; all of it is taken at this very address."""
    said = DOCUMENT["paths"][path]["post"]["x-sealed"]
    assert said
    for each in said:
        assert each["body"]["$ref"].rpartition("/")[2] in SCHEMAS
        for message in each["messages"] or [""]:
            parcel = Parcel(b"\x01" * 20, each["kind"], {"typed": {"primaryType": message}}, b"\x02" * 32, 0, 1)
            assert ADDRESSES[path](parcel), (each["kind"], message)


def test_a_websocket_says_what_it_sends() -> None:
    said = DOCUMENT["paths"]["/api/v1/market/live"]["get"]["responses"]["101"]["description"]
    assert "`slot`" in said
    assert "LiveSlotView" in said
    assert "EventView" not in said
    assert "LiveSlotView" in SCHEMAS
