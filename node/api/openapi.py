"""The OpenAPI 3.1 document, made from the table of operations and the models."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from node.api.examples import EXAMPLES
from node.api.marketplace import MARKETPLACE, SuccessView
from node.api.operations import BinaryBody, EventStream, FileAnswer, Operation, Parameter
from node.api.problems import PROBLEM_TYPE, Problem
from node.api.sealed import SEALED

__all__ = ["openapi_document"]

_SCHEMAS: Final[dict[str, dict[str, Any]]] = {
    "hash": {"type": "string", "pattern": "^0x[0-9a-fA-F]{64}$"},
    "time": {"oneOf": [{"type": "integer", "minimum": 0}, {"type": "string", "format": "date-time"}]},
    "count": {"type": "integer", "minimum": 1, "maximum": 10_000},
    "number": {"type": "integer", "minimum": 0},
    "text": {"type": "string", "minLength": 1, "maxLength": 200},
}
_TAGS: Final = {
    "node": "The node itself",
    "streams": "Streams and readings",
    "consent": "Requests, grants, revocations",
    "pairing": "Home and gateway",
    "messages": "Messages between nodes, and to the registry",
    "tokens": "Access of programs",
    "marketplace": "The marketplace's own addresses: sealed messages by role. `POST /market/match` is not among "
    "them: a bid manager of its own brings matches to `[bids] listen`, behind mutual TLS",
    "events": "Numbered events for other programs: pages, streams, webhooks",
}
_ABOUT: Final = """Bytes are hexadecimal with 0x, times seconds since 1970 UTC, energy integer Wh.

Every error is `application/problem+json` (RFC 9457) with a stable `code` and a `remedy`. A POST with an
`Idempotency-Key` (8 to 128 visible ASCII characters) acts once, however often it is sent; the answer is kept for seven
days. Scopes of tokens: `read`, `consent` (includes read), `admin` (includes all), `events:read`,
`webhooks:manage`, `asset:meter`.

A webhook is a POST with the headers `webhook-id`, `webhook-timestamp` and `webhook-signature`: `v1,` and the Base64 of
HMAC-SHA256 over id, timestamp and body, joined by full stops, under the secret's bytes (Standard Webhooks)."""


def openapi_document(operations: tuple[Operation, ...], version: str) -> dict[str, Any]:
    wanted: list[tuple[type[BaseModel], JsonSchemaMode]] = [(Problem, "serialization"), (SuccessView, "serialization")]
    for operation in operations:
        if isinstance(operation.body, type) and issubclass(operation.body, BaseModel):
            wanted.append((operation.body, "validation"))
        if isinstance(operation.answer, EventStream):
            wanted.append((operation.answer.item, "serialization"))
        if isinstance(operation.answer, type) and issubclass(operation.answer, BaseModel):
            wanted.append((operation.answer, "serialization"))
    wanted += [(each.body, "validation") for sealed in SEALED.values() for each in sealed]
    unique = list(dict.fromkeys(wanted))
    references, schemas = models_json_schema(unique, ref_template="#/components/schemas/{model}")
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, references)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Wattpact node",
            "version": version,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": schemas.get("$defs", {}),
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "responses": {
                "Problem": {
                    "description": "What went wrong and what to do",
                    "content": {PROBLEM_TYPE: {"schema": references[Problem, "serialization"]}},
                },
                "NoSuccess": {
                    "description": "Why not, as clients of a marketplace know it",
                    "content": {
                        "application/json": {
                            "schema": references[SuccessView, "serialization"],
                            "example": {"success": False, "error": "The parcel was not accepted."},
                        }
                    },
                },
            },
        },
    }


def _operation(operation: Operation, references: dict[Any, Any]) -> dict[str, Any]:
    success: dict[str, Any] = {"description": "Done" if operation.status < 202 else "Accepted"}
    if operation.answer == BinaryBody:
        success["content"] = {BinaryBody: {"schema": {"type": "string", "format": "binary"}}}
    elif isinstance(operation.answer, EventStream):
        success = _stream(operation.answer, references)
    elif operation.answer is FileAnswer:
        success = {"description": "A file, in pieces", "content": {"*/*": {"schema": {"type": "string"}}}}
    elif operation.answer is dict:
        success["content"] = {"application/json": {"schema": {"type": "object"}}}
    elif operation.answer is not None:
        success["content"] = {"application/json": {"schema": references[operation.answer, "serialization"]}}
    refusal = "NoSuccess" if operation.path in MARKETPLACE else "Problem"
    responses: dict[str, Any] = {
        str(operation.status): success,
        "default": {"$ref": f"#/components/responses/{refusal}"},
    }
    if operation.name == "getReadiness":
        responses["503"] = {**success, "description": "Not ready; the body says why"}
    guarded = operation.access not in ("open", "local", "public", "meter")
    document: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [operation.tag],
        "description": f"Scope: `{operation.access}`." if guarded else "No token; limited per address.",
        "security": [{}, {"bearer": []}] if operation.access == "meter" else [{"bearer": []}] if guarded else [],
        "responses": responses,
    }
    parameters = [_parameter(parameter) for parameter in operation.parameters]
    if operation.idempotent_key:
        schema = {"type": "string", "minLength": 8, "maxLength": 128}
        parameters.append({"name": "Idempotency-Key", "in": "header", "required": False, "schema": schema})
    if parameters:
        document["parameters"] = parameters
    if operation.body == BinaryBody:
        document["requestBody"] = {
            "required": True,
            "content": {BinaryBody: {"schema": {"type": "string", "format": "binary"}}},
        }
    elif operation.body is not None:
        content: dict[str, Any] = {"schema": references[operation.body, "validation"]}
        if isinstance(operation.body, type) and operation.body.__name__ in EXAMPLES:
            content["example"] = EXAMPLES[operation.body.__name__]
        document["requestBody"] = {"required": True, "content": {"application/json": content}}
    if operation.path in SEALED:
        _say_sealed(document, operation.path, references)
    return document


def _say_sealed(document: dict[str, Any], path: str, references: dict[Any, Any]) -> None:
    """What `encrypted` holds, for people and for programs."""
    sealed, texts = SEALED[path], []
    for each in sealed:
        signed = f" with a signed {' or '.join(each.messages)}" if each.messages else ""
        texts.append(f"a parcel `{each.kind}` whose body is {each.body.__name__}{signed}")
    document["description"] += f" `encrypted` is {', or '.join(texts)}."
    document["x-sealed"] = [
        {"kind": each.kind, "body": references[each.body, "validation"], "messages": list(each.messages)}
        for each in sealed
    ]


def _stream(answer: EventStream, references: dict[Any, Any]) -> dict[str, Any]:
    """Each `data` line of the event stream, or a member of a WebSocket message, is one item."""
    schema = references[answer.item, "serialization"]
    if answer.websocket:
        item, name = answer.name, answer.item.__name__
        text = f"WebSocket messages: `hello`, `{item}` (member `{item}`, schema {name}), `heartbeat`, `problem`"
        return {"description": text}
    return {"description": "A stream of events", "content": {"text/event-stream": {"schema": schema}}}


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": parameter.location,
        "required": parameter.location == "path",
        "description": parameter.description,
        "schema": _SCHEMAS[parameter.kind],
    }
