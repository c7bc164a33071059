"""People in a browser: a one-time link is exchanged for a session, whose cookie counts from this node's own pages only.

A session is a token of its own kind: stored as its SHA-256, with an end, listed and revoked like the others. It comes
in a cookie that no script reads and no other site sends, and it is heeded only beside a header that a foreign page
cannot set without asking first, from an Origin that is this server itself. A cookie knows no ports: whoever serves
pages on another port of the same machine is sent it, too, and can do with it what a thief of a token can. Its name
holds the port, so that the nodes of one machine do not end each other's sessions.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Literal
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from pydantic import Field, ValidationError

from node.api.callers import Callers
from node.api.limits import RateLimiter, read_body
from node.api.operations import Call, Operation
from node.api.problems import InvalidForm
from node.api.tokens import Scope, TokenRecord, Tokens
from node.api.values import Form, UnixTime, View
from node.clock import Clock
from node.config import ApiSettings
from node.errors import NotFound, Refused, Unauthenticated, UnsupportedMedia

__all__ = [
    "PAGE_HEADER",
    "SESSION_OPERATIONS",
    "LinkForm",
    "LinkView",
    "Sessions",
    "from_own_page",
    "session_routes",
]

PAGE_HEADER: Final = "X-Wattpact-Page"
LINK_S: Final = 600
_NAME: Final = "browser"
_MOST_LINKS: Final = 16
_MOST_BYTES: Final = 1_024
_AGAIN: Final = "Run `wattpact open` on the node's machine; it prints a new link."


class LinkForm(Form):
    """What the session behind a link may do."""

    scope: Literal["read", "consent", "admin"] = "admin"


class LinkView(View):
    """A link for one person, once. What follows the # never leaves the browser that opens it."""

    path: str = Field(description="to be put behind the address of the node")
    expires_at: UnixTime


class EnterForm(Form):
    """The secret of a link."""

    code: str = Field(min_length=1, max_length=200)


class SessionView(View):
    """The session that a browser has."""

    scope: str
    expires_at: UnixTime


@dataclass(frozen=True, slots=True)
class _Link:
    scope: Scope
    ends: int


class Sessions:
    """Links live in this object and die with the process; sessions are tokens and outlive it."""

    def __init__(self, tokens: Tokens, clock: Clock, settings: ApiSettings) -> None:
        self._tokens = tokens
        self._clock = clock
        self._lasts = settings.session_s
        # Behind a proxy that speaks TLS the browser sees https, whatever this server sees.
        self._secure = settings.tls_cert is not None or settings.plain_http
        self._links: dict[bytes, _Link] = {}

    def link(self, scope: Scope) -> tuple[str, int]:
        """The secret of a new link, kept as its hash, and when it ends."""
        now = self._clock.now()
        self._links = {digest: each for digest, each in self._links.items() if each.ends > now}
        while len(self._links) >= _MOST_LINKS:
            del self._links[next(iter(self._links))]
        code = secrets.token_urlsafe(32)
        self._links[_digest(code)] = _Link(scope, now + LINK_S)
        return code, now + LINK_S

    async def enter(self, request: web.Request, code: str) -> web.Response:
        """The answer with the cookie of a new session. Raises Unauthenticated for a link that is used or old."""
        from_own_page(request)
        link = self._links.pop(_digest(code), None)
        if link is None or link.ends <= self._clock.now():
            raise Unauthenticated("This link was used already, or it is too old.", remedy=_AGAIN)
        return await self.open(request, link.scope)

    async def open(self, request: web.Request, scope: Scope) -> web.Response:
        """The answer with the cookie of a new session, for whoever has proven that it is theirs."""
        await self._forget(request)
        record, text = await self._tokens.open_session(_NAME, frozenset({scope}), self._lasts)
        response = _shown(record)
        response.set_cookie(
            self._cookie(request), text, max_age=self._lasts, httponly=True, samesite="Strict", secure=self._secure
        )
        return response

    async def leave(self, request: web.Request) -> web.Response:
        """Logs out: the session ends here and for every copy of its cookie."""
        record = await self.admit(request, "read")
        await self._tokens.revoke(record.id)
        response = web.Response(status=204)
        response.del_cookie(self._cookie(request), httponly=True, samesite="Strict", secure=self._secure)
        return response

    async def admit(self, request: web.Request, scope: Scope) -> TokenRecord:
        """Who calls: by the token in the header, else by the cookie of one of our pages. Raises as `Tokens.check`."""
        shown, text = request.headers.get(hdrs.AUTHORIZATION), request.cookies.get(self._cookie(request))
        if shown is not None or text is None:
            return await self._tokens.check(shown, scope)
        from_own_page(request)
        try:
            return await self._tokens.check_session(text, scope)
        except Unauthenticated:
            raise Unauthenticated("The session has ended.", remedy=_AGAIN) from None

    async def _forget(self, request: web.Request) -> None:
        """Whoever enters anew leaves the former session; those that ran out are cleared away meanwhile."""
        text, now = request.cookies.get(self._cookie(request)), self._clock.now()
        digest = _digest(text) if text else None
        for record in await self._tokens.records():
            over = record.expires_at is not None and record.expires_at <= now
            if record.name == _NAME and (over or record.digest == digest):
                with suppress(NotFound):  # another call was faster
                    await self._tokens.revoke(record.id)

    def _cookie(self, request: web.Request) -> str:
        # Of what a caller writes into Host no more than digits.
        port = request.host.rpartition(":")[2]
        known = port if port.isascii() and port.isdigit() else ""
        return f"{'__Host-' if self._secure else ''}wattpact_{known[:5]}"


def from_own_page(request: web.Request) -> None:
    """Raises Refused unless a script of a page of this very server calls.

    A WebSocket carries no header of ours, but always an Origin; so does every call that changes something.
    """
    origin, socket = request.headers.get(hdrs.ORIGIN), request.headers.get(hdrs.UPGRADE, "").lower() == "websocket"
    reads = request.method == hdrs.METH_GET and not socket
    foreign = origin is not None and _place(origin) != request.host.lower()
    if foreign or (origin is None and not reads) or (not socket and PAGE_HEADER not in request.headers):
        raise Refused("This call does not come from a page of this node.", remedy="Open the node's own page.")


def _place(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _digest(code: str) -> bytes:
    return sha256(code.encode("utf-8", "surrogateescape")).digest()


def _shown(record: TokenRecord) -> web.Response:
    view = SessionView(scope=next(iter(record.scopes)), expires_at=record.expires_at or 0)
    return web.Response(body=view.model_dump_json().encode(), content_type="application/json")


def session_routes(
    sessions: Sessions, settings: ApiSettings, callers: Callers, failed: RateLimiter
) -> list[web.RouteDef]:
    """What the pages call besides the REST interface: log in by a link, look who is logged in, log out."""

    async def enter(request: web.Request) -> web.StreamResponse:
        body = await read_body(request, _MOST_BYTES, settings.body_timeout_s)
        if request.content_type != "application/json":
            raise UnsupportedMedia("The body must be application/json.")
        try:
            form = EnterForm.model_validate_json(body)
        except ValidationError as error:
            raise InvalidForm(error) from None
        try:
            return await sessions.enter(request, form.code)
        except Unauthenticated:
            failed.spend(callers.key(request))
            raise

    async def show(request: web.Request) -> web.StreamResponse:
        return _shown(await sessions.admit(request, "read"))

    async def leave(request: web.Request) -> web.StreamResponse:
        return await sessions.leave(request)

    path = "/pages/session"
    return [web.post(path, enter), web.get(path, show), web.delete(path, leave)]


async def _link(call: Call) -> LinkView:
    if call.sessions is None:
        raise NotFound("This node has no pages.")
    code, ends = call.sessions.link(call.form(LinkForm).scope)
    return LinkView(path=f"/#open={code}", expires_at=ends)


SESSION_OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "POST",
        "/api/v1/session-links",
        "linkSession",
        "admin",
        "A one-time link to the pages (M-71)",
        _link,
        LinkView,
        LinkForm,
        201,
        tag="tokens",
    ),
)
