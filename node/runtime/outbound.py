"""Calls to addresses that somebody else chose: where they may lead, how long they may take, what is read of the answer.

Such an address is an attacker's way into the network that the node stands in. So: https only, no user part, no
redirects, no proxy of the environment, and only public addresses. A name is resolved once for the connection that is
made, and every one of its addresses must be public, so a second answer of the resolver changes nothing. What a person
put on the allow-list (scheme, host and port) is free of the first and the last of these rules.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import SplitResult, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from node.errors import InvalidInput, RecoverableError

__all__ = ["Forbidden", "NoAnswer", "Outbound", "is_public", "origin_of", "read_at_most"]

_TIMEOUT_S: Final = 10.0
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
# IPv6 ranges that carry an IPv4 address inside; a translator would send them to it.
_CARRYING: Final = ((IPv6Network("64:ff9b::/96"), 0), (IPv6Network("2002::/16"), 80))


class Forbidden(InvalidInput):
    """The address is none that this node calls."""

    default_remedy = "Use a public https address, or put its scheme, host and port on [webhooks] allow."


class NoAnswer(RecoverableError):
    """Nobody answered in time, or not with HTTP."""


async def read_at_most(answer: aiohttp.ClientResponse, limit: int) -> bytes:
    """The body of an answer, or its first `limit` bytes. Raises aiohttp.ClientError where the connection breaks.

    `content.read(limit)` alone gives what has arrived so far: a part of the document wherever the network cuts it.
    """
    body = bytearray()
    while len(body) < limit and (more := await answer.content.read(limit - len(body))):
        body += more
    return bytes(body)


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether the address belongs to the Internet at large, an IPv4 address inside an IPv6 one looked at as well."""
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped
        for network, shift in _CARRYING:
            if address in network:
                inner = IPv4Address(int(address) >> shift & 0xFFFF_FFFF)
        if inner is not None:
            return is_public(inner)
    return address.is_global and not address.is_multicast


def origin_of(url: str) -> str:
    """Scheme, host and port in one spelling. Raises Forbidden for what is no such address."""
    parts = _split(url)
    host = (parts.hostname or "").rstrip(".")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable or not url.isascii() or not url.isprintable() or " " in url:
        raise Forbidden("The address must be a URL with https, a host and a path.", field="url")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise Forbidden("The address must not hold a user, a password or a fragment.", field="url")
    return parts


class _PublicResolver(AbstractResolver):
    """Resolves a name to public addresses or not at all; what is allowed by its origin is not looked at."""

    def __init__(self, allowed: frozenset[tuple[str, int]]) -> None:
        self._inner = ThreadedResolver()
        self._allowed = allowed

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        if (host.rstrip("."), port) not in self._allowed:
            for each in found:
                if not is_public(ip_address(each["host"].partition("%")[0])):
                    raise _NotPublic(f"{host} leads to an address that is not public.", field="url")
        return found

    async def close(self) -> None:
        await self._inner.close()


class _NotPublic(Forbidden, OSError):
    """Passes through the HTTP library, which takes it for a failure of the resolver."""


class Outbound:
    """Calls foreign addresses. `allow` are origins as `origin_of` spells them; `tls` says whose certificates count, by
    itself those of the system's authorities."""

    def __init__(self, allow: Sequence[str] = (), tls: ssl.SSLContext | None = None) -> None:
        self._allow = frozenset(origin_of(url) for url in allow)
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    def check(self, url: str) -> None:
        """Raises Forbidden for an address that is refused whatever its name resolves to."""
        parts = _split(url)
        if origin_of(url) in self._allow:
            return
        if parts.scheme != "https":
            raise Forbidden("The address must begin with https.", field="url")
        literal = _literal(parts.hostname or "")
        if literal is not None and not is_public(literal):
            raise Forbidden("The address is not a public one.", field="url")

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """Post once; returns the status of the answer.

        Raises Forbidden, or NoAnswer, whose sentence holds nothing of the address but its host.
        """
        async with self._called("POST", url, headers, body) as answer:
            return answer.status

    async def get(self, url: str, limit: int) -> bytes:
        """What is shown there, as it came: nothing packed is unpacked.

        Raises Forbidden, or NoAnswer, also for any status but 200 and for more than `limit` bytes.
        """
        async with self._called("GET", url, {"Accept-Encoding": "identity"}) as answer:
            host = _split(url).hostname
            if answer.status in _REDIRECTS:
                raise NoAnswer(f"{host} leads elsewhere ({answer.status}), which is not followed.")
            if answer.status != 200:
                raise NoAnswer(f"{host} answers {answer.status}.")
            found = await read_at_most(answer, limit + 1)
            if len(found) > limit:
                raise NoAnswer(f"{host} shows more than {limit} bytes.")
            return found

    @asynccontextmanager
    async def _called(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        self.check(url)
        if self._session is None:
            self._session = self._open()
        host = _split(url).hostname
        try:
            async with self._session.request(
                method, url, data=body, headers=dict(headers), allow_redirects=False
            ) as answer:
                yield answer
        except aiohttp.ClientSSLError:
            raise NoAnswer(f"{host} shows no valid certificate.") from None
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, _NotPublic):
                raise error.os_error from None
            raise NoAnswer(f"{host} cannot be reached.") from None
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise NoAnswer(f"{host} did not answer ({type(error).__name__}).") from None

    def _open(self) -> aiohttp.ClientSession:
        allowed = frozenset((parts.hostname or "", parts.port or 0) for parts in map(urlsplit, self._allow))
        # A new connection for each call: what a name resolved to is not kept for the next one.
        connector = aiohttp.TCPConnector(
            resolver=_PublicResolver(allowed), force_close=True, use_dns_cache=False, ssl=self._tls or True
        )
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        return aiohttp.ClientSession(
            connector=connector,
            timeout=timeout,
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    """The address that a host is, if it is one; also in the old spellings that the system's resolver takes."""
    try:
        return ip_address(host.partition("%")[0])
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(host))
    except OSError:
        return None
