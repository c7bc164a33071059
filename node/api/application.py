"""Builds the aiohttp application: routes from the table of operations, one way through for every call.

Order of a call: rate limit or token, size and deadline of the body, idempotency key, shape of body and parameters,
facade. Nothing of a peer's bytes is parsed before the earlier steps have passed.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, Final

from aiohttp import web
from pydantic import BaseModel, ValidationError

from node.api.callers import Callers
from node.api.documentation import DOCUMENTATION_CSP, documentation_page, documentation_script
from node.api.eventhandlers import FeedParts
from node.api.facade import NodeFacade
from node.api.handlers import OPERATIONS
from node.api.health import health_routes
from node.api.idempotency import (
    IdempotencyStore,
    MemoryIdempotencyStore,
    StoredAnswer,
    call_fingerprint,
    checked_key,
)
from node.api.lane import PARCELS, SAFE_HEADERS, ParcelDoor
from node.api.limits import RateLimiter, read_body
from node.api.marketdata import LIVE_READERS, LiveReaders
from node.api.marketplace import MARKETPLACE, marketplace_error
from node.api.openapi import openapi_document
from node.api.operations import Answer, BinaryBody, Call, Operation, Streaming, parse_parameter
from node.api.problems import InvalidForm, problem_response
from node.api.sessions import Sessions, session_routes
from node.api.settlement import SettlementParts
from node.api.tokens import Scope, Tokens
from node.api.walletsession import WalletLogin, wallet_routes
from node.clock import Clock, SystemClock
from node.config import VERSION, ApiSettings
from node.errors import InvalidInput, NodeError, NotFound, Unauthenticated, UnsupportedMedia, UsageError
from node.observability import Metrics, current_request_id, request_scope
from node.runtime.interfaces import Network, own_networks

__all__ = ["ApiParts", "create_api"]

# A nested JSON bomb costs the parser's stack, not memory; real bodies are flat.
_MAX_JSON_DEPTH: Final = 24
_NESTS: Final = (dict, list)
_FAILED_CALLS_PER_MINUTE: Final = 60
_CALLER: Final = web.RequestKey("caller", str)
Next = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class ApiParts:
    """What the interface works with besides the facade; each has a default that lives in memory."""

    clock: Clock = field(default_factory=SystemClock)
    metrics: Metrics = field(default_factory=Metrics)
    idempotency: IdempotencyStore | None = None
    feed: FeedParts | None = None
    settlement: SettlementParts | None = None
    networks: Callable[[], tuple[Network, ...]] = own_networks
    pages: Sequence[web.RouteDef] = ()
    hosts: Sequence[str] = ()


def create_api(
    facade: NodeFacade, settings: ApiSettings, tokens: Tokens, parts: ApiParts | None = None
) -> web.Application:
    """The application. Serve it with `ApiServer`, which adds the limits that live below HTTP."""
    chosen = parts or ApiParts()
    callers = Callers(settings, chosen.networks)
    sessions = Sessions(tokens, chosen.clock, settings)
    interface = _Interface(facade, settings, callers, tokens, chosen, sessions)
    app = web.Application(middlewares=[_around(chosen)], client_max_size=settings.max_body_bytes)
    for operation in OPERATIONS:
        app.router.add_route(operation.method, operation.path, interface.route(operation))
    if chosen.feed is not None:
        app.on_shutdown.append(chosen.feed.followers.close)
    app[PARCELS] = interface.door(chosen)
    app[LIVE_READERS] = LiveReaders()
    app.on_shutdown.append(app[LIVE_READERS].close)
    app.add_routes(health_routes(facade, tokens, chosen.metrics, callers))
    app.add_routes(_documents())
    app.add_routes(session_routes(sessions, settings, callers, interface.failed_calls))
    login = WalletLogin(facade, sessions, chosen.clock, (*settings.hosts, *chosen.hosts))
    app.add_routes(wallet_routes(login, settings, callers, interface.open_calls, interface.failed_calls))
    app.add_routes(chosen.pages)
    return app


def _around(parts: ApiParts) -> Any:
    """Outermost: request id, metrics, headers, and every error as problem+json."""

    @web.middleware
    async def middleware(request: web.Request, handler: Next) -> web.StreamResponse:
        began = parts.clock.monotonic()
        with request_scope() as request_id:
            try:
                response = await handler(request)
            except NodeError as error:
                response = _error(request, error, request_id)
                if not request.content.is_eof():
                    # What is left of the body is not worth reading.
                    response.force_close()
            except web.HTTPException as error:
                response = _error(request, _of_http(error), request_id)
            response.headers["X-Request-Id"] = request_id
        for name, value in SAFE_HEADERS.items():
            response.headers.setdefault(name, value)
        parts.metrics.request(request.method, response.status, parts.clock.monotonic() - began)
        return response

    return middleware


def _error(request: web.Request, error: NodeError, request_id: str) -> web.Response:
    if request.path in MARKETPLACE:
        return marketplace_error(error)
    return problem_response(error, request_id)


def _of_http(error: web.HTTPException) -> NodeError:
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        return _WrongMethod(f"This address answers {allowed} only.")
    if error.status == 404:
        return NotFound("There is nothing at this address.", remedy="See /api/v1/redoc for what there is.")
    return UsageError(error.reason or "The request is not valid.")


class _WrongMethod(UsageError):
    code = "wrong_method"
    status = 405


class _Interface:
    def __init__(
        self,
        facade: NodeFacade,
        settings: ApiSettings,
        callers: Callers,
        tokens: Tokens,
        parts: ApiParts,
        sessions: Sessions,
    ) -> None:
        self._facade = facade
        self._settings = settings
        self._callers = callers
        self._tokens = tokens
        self._sessions = sessions
        self._feed = parts.feed
        self._settlement = parts.settlement
        self._answers = parts.idempotency or MemoryIdempotencyStore(parts.clock)
        self.open_calls = RateLimiter(settings.open_calls_per_minute, parts.clock)
        self.failed_calls = RateLimiter(_FAILED_CALLS_PER_MINUTE, parts.clock)

    def door(self, parts: ApiParts) -> ParcelDoor:
        """The inbox for whoever needs no more than that of HTTP."""
        return ParcelDoor(self._facade, self.open_calls, parts.clock, parts.metrics, self._settings.max_parcel_bytes)

    def route(self, operation: Operation) -> Next:
        async def handle(request: web.Request) -> web.StreamResponse:
            caller = request[_CALLER] = await self._admit(operation, request)
            body = await self._body(operation, request)
            # Without a token nobody has keys of their own; a sealed parcel has its id instead.
            keyed = operation.idempotent_key and caller
            key = request.headers.get("Idempotency-Key") if keyed else None
            if key is None:
                answer = await self._run(operation, request, body)
                if isinstance(answer.content, Streaming):
                    return await answer.content.serve(request, partial(self._check, operation, request))
                return _response(operation, answer)
            return await self._once(f"{caller}:{checked_key(key)}", operation, request, body)

        return handle

    async def _admit(self, operation: Operation, request: web.Request) -> str:
        """Who calls, as the id of a token. Raises before a byte of the body is read."""
        peer = self._callers.key(request)
        if operation.access == "public":
            return ""
        if operation.access == "local":
            self.open_calls.spend(peer)
            self._callers.check_local(request)
            return ""
        scope: Scope = "asset:meter"
        if operation.access == "open" or (operation.access == "meter" and "Authorization" not in request.headers):
            self.open_calls.spend(peer)
            return ""
        try:
            if operation.access != "meter":
                scope = operation.access
            record = await self._sessions.admit(request, scope)
        except Unauthenticated:
            # Only failures count, so nobody can lock the owner out by calling from elsewhere with wrong tokens.
            self.failed_calls.spend(peer)
            raise
        return record.id

    async def _check(self, operation: Operation, request: web.Request) -> None:
        """While an answer goes on: raises once its token was revoked or has ended."""
        access = operation.access
        if access != "open" and access != "local" and access != "public" and access != "meter":
            await self._sessions.admit(request, access)

    async def _body(self, operation: Operation, request: web.Request) -> bytes:
        limit = self._settings.max_parcel_bytes if operation.body == BinaryBody else self._settings.max_body_bytes
        if operation.body is None:
            limit = 0
        body = await read_body(request, limit, self._settings.body_timeout_s)
        if body and operation.body is not None:
            wanted = BinaryBody if operation.body == BinaryBody else "application/json"
            # A browser form cannot send either type across origins without asking first.
            if request.content_type != wanted:
                raise UnsupportedMedia(f"The body must be {wanted}.", remedy=f"Send Content-Type: {wanted}.")
        return body

    async def _run(self, operation: Operation, request: web.Request, body: bytes) -> Answer:
        values = _values(operation, request)
        peer = self._callers.key(request)
        parsed, caller = _parsed(operation, body), request[_CALLER]
        call = Call(
            self._facade, self._tokens, values, parsed, peer, self._feed, self._settlement, caller, self._sessions
        )
        result = await operation.handler(call)
        return result if isinstance(result, Answer) else Answer(result)

    async def _once(self, key: str, operation: Operation, request: web.Request, body: bytes) -> web.StreamResponse:
        stored = await self._answers.begin(key, call_fingerprint(request.path_qs, body))
        if stored is not None:
            response = web.Response(body=stored.body, status=stored.status, content_type=stored.content_type)
            response.headers["Idempotency-Replayed"] = "true"
            return response
        finished = False
        try:
            try:
                response = _response(operation, await self._run(operation, request, body))
            except NodeError as error:
                if error.status >= 500:
                    raise
                # A refusal is an answer too: repeating the call must not find another one.
                response = problem_response(error, current_request_id())
            content = response.body if isinstance(response.body, bytes) else b""
            await self._answers.finish(key, StoredAnswer(response.status, response.content_type, content))
            finished = True
        finally:
            if not finished:
                await self._answers.abandon(key)
        return response


def _values(operation: Operation, request: web.Request) -> dict[str, Any]:
    if request.query_string:
        known = {parameter.name for parameter in operation.parameters if parameter.location == "query"}
        unknown = sorted(set(request.query) - known)
        if unknown:
            raise InvalidInput(f"{unknown[0][:60]!r} is not a parameter of this call.", field=unknown[0][:60])
    values: dict[str, Any] = {}
    for parameter in operation.parameters:
        source = request.match_info if parameter.location == "path" else request.query
        text = source.get(parameter.name)
        if text is not None:
            values[parameter.name] = parse_parameter(parameter, text)
    return values


def _parsed(operation: Operation, body: bytes) -> Any:
    if not (isinstance(operation.body, type) and issubclass(operation.body, BaseModel)):
        return body
    try:
        document = _READER.decode((body or b"{}").decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise UsageError("The body is not valid JSON.", remedy="Send a JSON object in UTF-8.") from None
    # Where there are not that many brackets in all, the levels need not be counted.
    if body.count(b"{") + body.count(b"[") > _MAX_JSON_DEPTH and _depth(document) > _MAX_JSON_DEPTH:
        raise InvalidInput(f"The body nests more than {_MAX_JSON_DEPTH} levels.")
    try:
        return operation.body.model_validate(document)
    except ValidationError as error:
        raise InvalidForm(error) from None


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


_READER: Final = json.JSONDecoder(parse_constant=_no_constant)
_WRITER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def _depth(document: object) -> int:
    """Levels of nesting, without recursion; stops counting where it is too deep anyway."""
    level, present = 0, [document]
    while present and level <= _MAX_JSON_DEPTH:
        level += 1
        inner: list[object] = []
        for item in present:
            if type(item) is dict:
                inner += [value for value in item.values() if type(value) in _NESTS]
            elif type(item) is list:
                inner += [value for value in item if type(value) in _NESTS]
        present = inner
    return level


def _response(operation: Operation, answer: Answer) -> web.Response:
    status = answer.status or operation.status
    if answer.content is None:
        return web.Response(status=status)
    if isinstance(answer.content, bytes):
        return web.Response(body=answer.content, status=status, content_type=BinaryBody)
    if isinstance(answer.content, Streaming):
        raise UsageError("This answer goes on; it cannot be kept.")
    content = answer.content
    text = content.model_dump_json() if isinstance(content, BaseModel) else _WRITER.encode(content)
    return web.Response(body=text.encode(), status=status, content_type="application/json")


@cache
def _description() -> bytes:
    return json.dumps(openapi_document(OPERATIONS, VERSION), ensure_ascii=False).encode()


def _documents() -> list[web.RouteDef]:
    script = documentation_script()

    async def description(_request: web.Request) -> web.StreamResponse:
        # Made when somebody asks: it takes a tenth of the time of a start, and most nodes are never asked.
        document = await asyncio.to_thread(_description)
        return web.Response(body=document, content_type="application/json")

    async def page(_request: web.Request) -> web.StreamResponse:
        headers = {"Content-Security-Policy": DOCUMENTATION_CSP}
        return web.Response(body=documentation_page(), content_type="text/html", charset="utf-8", headers=headers)

    async def bundle(_request: web.Request) -> web.StreamResponse:
        headers = {"Cache-Control": "max-age=86400"}
        return web.Response(body=script, content_type="text/javascript", charset="utf-8", headers=headers)

    return [
        web.get("/api/v1/openapi.json", description),
        web.get("/api/v1/redoc", page),
        web.get("/api/v1/redoc.standalone.js", bundle),
    ]
