"""New blocks as they come: a WebSocket subscription to ``newHeads`` that wakes whoever polls. Polling goes on anyway.

Nothing that is told here is believed: a head only says that it is worth looking. So an endpoint that subscribes badly,
or not at all, costs a little time and nothing else.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence

import structlog
from aiohttp import ClientError, ClientSession, ClientTimeout, WSMsgType

__all__ = ["HeadSubscription", "http_urls", "socket_urls"]

_log = structlog.get_logger(__name__)
_SUBSCRIBE = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]})
_LARGEST = 1 << 20


def socket_urls(urls: Sequence[str]) -> list[str]:
    """Return where to subscribe: what is configured as ws or wss, else the first address with its scheme changed."""
    named = [url for url in urls if url.startswith(("ws://", "wss://"))]
    return named or [url.replace("http", "ws", 1) for url in urls[:1]]


def http_urls(urls: Sequence[str]) -> list[str]:
    """Return the addresses to call: those configured as http or https, else the others with their scheme changed."""
    named = [url for url in urls if url.startswith(("http://", "https://"))]
    return named or [url.replace("ws", "http", 1) for url in urls]


class HeadSubscription:
    """Calls ``on_head`` for each new block. ``live`` tells whether a subscription stands.

    Pauses in seconds; an endpoint without WebSocket is asked again after the longest one.
    """

    def __init__(
        self, urls: Sequence[str], on_head: Callable[[], None], *, pause: float = 1.0, longest_pause: float = 300.0
    ) -> None:
        self.live = False
        self.heads = 0
        self._urls = tuple(urls)
        self._on_head = on_head
        self._pause = pause
        self._longest_pause = longest_pause

    async def run(self) -> None:
        """Subscribe for ever, each address in turn."""
        pause = self._pause
        turn = 0
        async with ClientSession(timeout=ClientTimeout(total=None, connect=10)) as session:
            while True:
                before = self.heads
                try:
                    await self._follow(session, self._urls[turn % len(self._urls)])
                except (ClientError, TimeoutError, OSError, ValueError) as fault:
                    _log.debug("head_subscription_ended", reason=type(fault).__name__)
                finally:
                    if self.live:
                        _log.info("head_subscription_lost")
                    self.live = False
                turn += 1
                pause = self._pause if self.heads > before else min(pause * 2, self._longest_pause)
                await asyncio.sleep(pause)

    async def _follow(self, session: ClientSession, url: str) -> None:
        # The heartbeat ends a connection that went silent without a word.
        async with session.ws_connect(url, heartbeat=15, max_msg_size=_LARGEST) as socket:
            await socket.send_str(_SUBSCRIBE)
            async for message in socket:
                if message.type is not WSMsgType.TEXT:
                    return
                told = json.loads(message.data)
                if not isinstance(told, dict) or told.get("error") is not None:
                    return
                if told.get("id") == 1:
                    self.live = True
                    _log.info("head_subscription_stands")
                elif told.get("method") == "eth_subscription":
                    self.heads += 1
                    self._on_head()
