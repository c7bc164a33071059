"""Errors as `application/problem+json` (RFC 9457) with three members of our own: code, remedy and errors."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from aiohttp import web
from pydantic import Field, ValidationError

from node.api.values import View
from node.errors import InvalidInput, NodeError, TooManyRequests
from node.wire.refusals import OrderRefusal

__all__ = [
    "PROBLEM_TYPE",
    "FieldProblem",
    "InvalidForm",
    "Problem",
    "problem_headers",
    "problem_of",
    "problem_response",
]

PROBLEM_TYPE: Final = "application/problem+json"


class FieldProblem(View):
    """One member of the input that is not as it must be."""

    field: str
    message: str


class Problem(View):
    """RFC 9457. `detail` is a sentence for people, `remedy` says what to do, `instance` finds the log lines."""

    type: str = Field(description="urn:wattpact:problem:<code>")
    title: str
    status: int
    detail: str
    instance: str | None = Field(default=None, description="urn:wattpact:request:<request id>")
    code: str
    remedy: str
    field: str | None = None
    errors: tuple[FieldProblem, ...] = ()
    proof: dict[str, Any] | None = Field(default=None, description="what a market signed of its no to an order")


class InvalidForm(InvalidInput):
    """A body or parameter that does not have the described shape; names every offending member."""

    def __init__(self, error: ValidationError) -> None:
        details = error.errors(include_url=False, include_context=False, include_input=False)
        self.errors = tuple(
            FieldProblem(field=".".join(map(str, d["loc"])), message=d["msg"].removeprefix("Value error, "))
            for d in details
        )
        first = self.errors[0]
        where = f"{first.field}: " if first.field else ""
        more = f" ({len(self.errors) - 1} more)" if len(self.errors) > 1 else ""
        super().__init__(f"The request is not valid. {where}{first.message}{more}", field=first.field or None)


def problem_of(error: NodeError, request_id: str | None) -> Problem:
    return Problem(
        type=f"urn:wattpact:problem:{error.code}",
        title=HTTPStatus(error.status).phrase,
        status=error.status,
        detail=error.message,
        instance=f"urn:wattpact:request:{request_id}" if request_id else None,
        code=error.code,
        remedy=error.remedy,
        field=error.field,
        errors=error.errors if isinstance(error, InvalidForm) else (),
        # Its own word alone: what stood in somebody else's answer is not handed on.
        proof=error.proof.to_json() if isinstance(error.proof, OrderRefusal) else None,
    )


def problem_headers(error: NodeError) -> dict[str, str]:
    """What an answer says of an error besides the document."""
    if error.status == HTTPStatus.UNAUTHORIZED:
        return {"WWW-Authenticate": 'Bearer realm="wattpact"'}
    if isinstance(error, TooManyRequests):
        return {"Retry-After": str(error.retry_after)}
    return {}


def problem_response(error: NodeError, request_id: str | None) -> web.Response:
    return web.Response(
        body=problem_of(error, request_id).model_dump_json().encode(),
        status=error.status,
        content_type=PROBLEM_TYPE,
        headers=problem_headers(error),
    )
