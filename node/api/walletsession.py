"""People with a wallet in their browser: the node's owner signs in by EIP-4361, without a link.

The node itself words the message, keeps it until it is signed, and compares signatures with nothing else: there is no
message of a caller to be parsed, so none that reads differently here and in the wallet. A message counts once, within
minutes, at the address of the node where it was asked for, and for the node's own account alone. Which addresses are
the node's is never taken from the caller: a page elsewhere could name its own and have the wallet find nothing wrong.

Not promised: that a wallet compares the message's domain with the page's. The good ones do.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Final, TypeVar
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from pydantic import BaseModel, Field, ValidationError

from keys.errors import SignatureError
from keys.personal import recover_personal
from node.api.callers import Callers
from node.api.facade import HealthFacade
from node.api.limits import RateLimiter, read_body
from node.api.problems import InvalidForm
from node.api.sessions import Sessions, from_own_page
from node.api.values import AddressHex, Form, SignatureHex, UnixTime, View
from node.clock import Clock
from node.config import ApiSettings
from node.errors import Refused, Unauthenticated, UnsupportedMedia
from node.types import address_to_text

__all__ = ["CHALLENGE_S", "ChallengeForm", "ChallengeView", "SignedForm", "WalletLogin", "wallet_routes"]

CHALLENGE_S: Final = 300
_MOST: Final = 1_024
_MOST_BYTES: Final = 1_024
_AGAIN: Final = "Press the button again; the wallet is asked anew."
_WORDS: Final = "Act as the owner of this Wattpact node. Signing costs nothing and moves nothing."
_M = TypeVar("_M", bound=BaseModel)


class ChallengeForm(Form):
    """The account that the wallet offers."""

    address: AddressHex


class ChallengeView(View):
    """What the wallet is to sign by personal_sign, as it stands; `nonce` names it."""

    message: str
    nonce: str
    expires_at: UnixTime


class SignedForm(Form):
    """The wallet's signature of the message with this nonce."""

    nonce: str = Field(min_length=1, max_length=100)
    signature: SignatureHex


@dataclass(frozen=True, slots=True)
class _Asked:
    message: str
    address: bytes
    host: str
    ends: int


class WalletLogin:
    """Messages that wait for a signature live in this object and die with the process."""

    def __init__(self, node: HealthFacade, sessions: Sessions, clock: Clock, hosts: Iterable[str]) -> None:
        self._node = node
        self._sessions = sessions
        self._clock = clock
        self._hosts = frozenset(host.lower() for host in hosts)
        self._asked: dict[str, _Asked] = {}

    async def challenge(self, request: web.Request, address: bytes) -> ChallengeView:
        """Raises Refused for another page, another address of this node than it knows, and other accounts."""
        from_own_page(request)
        host = self._own_host(request)
        status = await self._node.status()
        if status.owner is None:
            raise Refused("This node has no account of a person.", remedy="Run `wattpact open` on the node's machine.")
        if address != status.owner:
            raise Refused(
                f"{address_to_text(address)} is not this node's account.",
                remedy=f"Choose {address_to_text(status.owner)} in the wallet, or run `wattpact open`.",
            )
        now = self._clock.now()
        self._asked = {nonce: each for nonce, each in self._asked.items() if each.ends > now}
        while len(self._asked) >= _MOST:
            del self._asked[next(iter(self._asked))]
        nonce, scheme = secrets.token_hex(16), urlsplit(request.headers[hdrs.ORIGIN]).scheme
        message = _message(host, f"{scheme}://{host}", address, status.chain.chain_id, nonce, now)
        self._asked[nonce] = _Asked(message, address, host, now + CHALLENGE_S)
        return ChallengeView(message=message, nonce=nonce, expires_at=now + CHALLENGE_S)

    async def enter(self, request: web.Request, form: SignedForm) -> web.Response:
        """The answer with the cookie of a new session. Whatever comes of it, the message is used up."""
        from_own_page(request)
        asked = self._asked.pop(form.nonce, None)
        if asked is None or asked.ends <= self._clock.now() or asked.host != request.host.lower():
            raise Unauthenticated("This sign-in was used already, or it is too old.", remedy=_AGAIN)
        try:
            signer = recover_personal(asked.message, bytes(form.signature))
        except SignatureError:
            signer = b""
        if signer != asked.address:
            raise Unauthenticated("The signature is not by this node's account.", remedy=_AGAIN)
        return await self._sessions.open(request, "admin")

    def _own_host(self, request: web.Request) -> str:
        host = request.host.lower()
        if host not in self._hosts | _listened(request):
            raise Refused(
                f"{host[:100]!r} is no address that this node knows as its own.",
                remedy="Name it in api.hosts, or run `wattpact open` on the node's machine.",
            )
        return host


def _listened(request: web.Request) -> frozenset[str]:
    """The addresses under which this very connection reached the node."""
    transport = request.transport
    name = transport.get_extra_info("sockname") if transport is not None else None
    if not isinstance(name, tuple):
        return frozenset()
    address, port = ip_address(str(name[0]).partition("%")[0]), int(name[1])
    names = ["localhost", "127.0.0.1", "[::1]"] if address.is_loopback else []
    names.append(f"[{address}]" if address.version == 6 else str(address))
    return frozenset({*(f"{each}:{port}" for each in names), *(names if port in (80, 443) else ())})


def _message(host: str, origin: str, address: bytes, chain_id: int, nonce: str, now: int) -> str:
    """EIP-4361, word for word."""
    fields = (
        ("URI", origin),
        ("Version", "1"),
        ("Chain ID", str(chain_id)),
        ("Nonce", nonce),
        ("Issued At", _time(now)),
        ("Expiration Time", _time(now + CHALLENGE_S)),
    )
    head = f"{host} wants you to sign in with your Ethereum account:\n{address_to_text(address)}\n\n{_WORDS}\n\n"
    return head + "\n".join(f"{name}: {value}" for name, value in fields)


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def wallet_routes(
    login: WalletLogin, settings: ApiSettings, callers: Callers, asked: RateLimiter, failed: RateLimiter
) -> list[web.RouteDef]:
    """Two steps of the pages: what is to be signed, and the signature."""

    async def form(request: web.Request, model: type[_M]) -> _M:
        body = await read_body(request, _MOST_BYTES, settings.body_timeout_s)
        if request.content_type != "application/json":
            raise UnsupportedMedia("The body must be application/json.")
        try:
            return model.model_validate_json(body)
        except ValidationError as error:
            raise InvalidForm(error) from None

    async def challenge(request: web.Request) -> web.StreamResponse:
        asked.spend(callers.key(request))
        view = await login.challenge(request, (await form(request, ChallengeForm)).address)
        return web.Response(body=view.model_dump_json().encode(), content_type="application/json")

    async def enter(request: web.Request) -> web.StreamResponse:
        signed = await form(request, SignedForm)
        try:
            return await login.enter(request, signed)
        except Unauthenticated:
            failed.spend(callers.key(request))
            raise

    return [web.post("/pages/session/challenge", challenge), web.post("/pages/session/wallet", enter)]
