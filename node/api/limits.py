"""What a peer may cost us before we know who it is: bytes, time and tries."""

from __future__ import annotations

import asyncio
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Final

from aiohttp import web

from node.clock import Clock
from node.errors import TooLarge, TooManyRequests, TooSlow, UnsupportedMedia

__all__ = ["RateLimiter", "peer_key", "read_body"]

# Beyond this many addresses the oldest buckets are forgotten; a forgotten bucket is a full one, so the memory of the
# table, not the fairness between thousands of addresses, is what is guaranteed.
_MAX_BUCKETS: Final = 10_000


@lru_cache(maxsize=1_024)
def peer_key(address: str | None) -> str:
    """What counts as one peer: an IPv4 address, or a /64, because one customer gets that many IPv6 addresses."""
    try:
        parsed = ip_address((address or "").partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(IPv6Address(int(parsed) >> 64 << 64)) + "/64"
    return str(parsed)


class RateLimiter:
    """A token bucket per peer: `per_minute` calls a minute, all of which may come at once."""

    def __init__(self, per_minute: int, clock: Clock) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def __len__(self) -> int:
        """Peers remembered."""
        return len(self._buckets)

    def spend(self, peer: str) -> None:
        """Counts one call. Raises TooManyRequests when the bucket is empty."""
        level = self._level(peer)
        if level < 1:
            self._put(peer, level)
            wait = max(1, int((1 - level) * 60 / self._per_minute + 0.999))
            raise TooManyRequests("Too many calls from your address.", retry_after=wait)
        self._put(peer, level - 1)

    def refund(self, peer: str) -> None:
        """Takes back one call: it was counted before it was known to be a good one."""
        self._put(peer, min(float(self._per_minute), self._level(peer) + 1))

    def _level(self, peer: str) -> float:
        level, at = self._buckets.get(peer, (float(self._per_minute), 0.0))
        return min(float(self._per_minute), level + (self._clock.monotonic() - at) * self._per_minute / 60)

    def _put(self, peer: str, level: float) -> None:
        self._buckets.pop(peer, None)
        if len(self._buckets) >= _MAX_BUCKETS:
            del self._buckets[next(iter(self._buckets))]
        self._buckets[peer] = (level, self._clock.monotonic())


async def read_body(request: web.Request, limit: int, deadline_s: float) -> bytes:
    """The whole body, at most `limit` bytes, within `deadline_s`. Raises TooLarge, TooSlow, UnsupportedMedia.

    Nothing beyond `limit` is buffered: a declared length is judged before the first byte, others as they grow.
    Compressed bodies are refused, so a small one cannot become a large one.
    """
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedMedia("Compressed bodies are not read here.", remedy="Send the body uncompressed.")
    if request.content_length is not None and request.content_length > limit:
        raise TooLarge(f"The body may have {limit} bytes.")
    if request.content.is_eof():  # the usual case: it came together with the header
        whole = request.content.read_nowait()
        if len(whole) > limit:
            raise TooLarge(f"The body may have {limit} bytes.")
        return whole
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(deadline_s):
            async for part in request.content.iter_chunked(16_384):
                size += len(part)
                if size > limit:
                    raise TooLarge(f"The body may have {limit} bytes.")
                parts.append(part)
    except TimeoutError:
        raise TooSlow(f"The body did not arrive within {deadline_s:g} seconds.", remedy="Send it faster.") from None
    return b"".join(parts)
