"""Events as they come, over Server-Sent Events and over WebSocket.

Nothing is held for a reader: each one has a position, and its next events are read from the database when there is room
for them. A reader that stops taking data is paused, by its window if it has a name and by the kernel's buffers if not;
it is never dropped for being slow. Whether its token still holds is asked before every page.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import WSMsgType, web

from node.api.eventviews import EVENT_VERSION, EventView
from node.api.feedfacade import FeedFacade
from node.api.problems import problem_of
from node.errors import Busy, Conflict, Gone, InvalidInput, NodeError
from node.observability import current_request_id
from node.storage.feed import FeedFilter

__all__ = ["Followers", "Wish"]

HEARTBEAT_S: Final = 15.0
WINDOW: Final = 256
"""Events that a named reader may have without having acknowledged them."""
_PAGE: Final = 100
_MAX_FOLLOWERS: Final = 64
_MAX_MESSAGE: Final = 1_024
_POLICY: Final = 1008

Check = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Wish:
    """What a reader asked for: a number to begin behind, or the name of a subscription, and a filter."""

    after: int | None
    feed: str | None
    name: str | None
    wanted: FeedFilter
    window: int = WINDOW


@dataclass(slots=True)
class _Position:
    """How far one reader got. `flying`: sent to a named reader and not acknowledged."""

    after: int
    wanted: FeedFilter
    name: str | None
    window: int
    over: asyncio.Event = field(default_factory=asyncio.Event)
    reason: NodeError | None = None
    acked: int = -1
    flying: deque[int] = field(default_factory=deque)

    def end(self, reason: NodeError | None) -> None:
        self.reason = self.reason or reason
        self.over.set()


class Followers:
    """All readers of one server."""

    def __init__(self, feed: FeedFacade) -> None:
        self._feed = feed
        self._open: list[_Position] = []

    async def close(self, _app: web.Application) -> None:
        """The server ends: so do the streams, each behind a whole event."""
        for position in self._open:
            position.end(None)

    async def sse(self, request: web.Request, wish: Wish, check: Check) -> web.StreamResponse:
        """`text/event-stream`. The id of an event is feed:number; Last-Event-ID resumes behind it."""
        position = await self._position(_resumed(request, wish))
        headers = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        response = web.StreamResponse(headers=headers)
        _patient(request)
        await response.prepare(request)
        with self._listed(position), contextlib.suppress(ConnectionResetError):
            async for event in self._follow(position, check):
                if event is None:
                    await response.write(b": still here\n\n")
                else:
                    text = event.model_dump_json()
                    await response.write(
                        f"id: {event.feed}:{event.seq}\nevent: {event.type}\ndata: {text}\n\n".encode()
                    )
            if position.reason is not None:
                problem = problem_of(position.reason, current_request_id()).model_dump_json()
                await response.write(f"event: problem\ndata: {problem}\n\n".encode())
        return response

    async def websocket(self, request: web.Request, wish: Wish, check: Check) -> web.StreamResponse:
        """One JSON object a message: `hello`, `event`, `heartbeat`, `problem`; the reader sends `ack`."""
        position = await self._position(wish)
        socket_ = web.WebSocketResponse(max_msg_size=_MAX_MESSAGE, compress=False)
        _patient(request)
        await socket_.prepare(request)
        with self._listed(position), contextlib.suppress(ConnectionResetError):
            hello = {
                "version": EVENT_VERSION,
                "feed": self._feed.id,
                "after": position.after,
                "window": position.window,
            }
            await _say(socket_, "hello", hello)
            listening = asyncio.create_task(self._listen(socket_, position))
            try:
                async for event in self._follow(position, check):
                    if event is None:
                        await _say(socket_, "heartbeat", {"after": position.after})
                    else:
                        await socket_.send_str(f'{{"type":"event","event":{event.model_dump_json()}}}')
                if position.reason is not None:
                    problem = problem_of(position.reason, current_request_id()).model_dump(mode="json")
                    await _say(socket_, "problem", {"problem": problem})
                await socket_.close(code=_POLICY if position.reason else 1001)
            finally:
                listening.cancel()
        return socket_

    async def _position(self, wish: Wish) -> _Position:
        """Raises Gone for another feed or pruned events, NotFound, InvalidInput, Busy."""
        if len(self._open) >= _MAX_FOLLOWERS:
            raise Busy(f"{_MAX_FOLLOWERS} programs follow the events of this node already.")
        if wish.feed is not None and wish.feed != self._feed.id:
            raise Gone("The node's database was rebuilt; its events are numbered anew.", remedy="Read from 0 again.")
        if wish.name is None:
            after = wish.after if wish.after is not None else (await self._feed.events(None, 1, FeedFilter())).last
            position = _Position(after, wish.wanted, None, 0)
        else:
            found = await self._feed.subscription(wish.name)
            if wish.wanted != FeedFilter() and wish.wanted != self._feed.filter_of(found):
                raise Conflict(f"The subscription {wish.name} has another filter.")
            position = _Position(found.acked, self._feed.filter_of(found), wish.name, wish.window)
        await self._feed.events(position.after, 1, position.wanted)
        return position

    @contextlib.contextmanager
    def _listed(self, position: _Position) -> Any:
        for other in self._open:
            if position.name is not None and other.name == position.name:
                # The former connection may be dead without anybody knowing; the newest one counts.
                other.end(Conflict(f"Another program follows {position.name} now."))
        self._open.append(position)
        try:
            yield
        finally:
            self._open.remove(position)

    async def _follow(self, position: _Position, check: Check) -> AsyncIterator[EventView | None]:
        """Events in order, None for a heartbeat; ends when the position does, with the reason in it."""
        while not position.over.is_set():
            moved = self._feed.watch()
            try:
                await check()
                room = await self._room(position)
                page = await self._feed.events(position.after, min(room, _PAGE), position.wanted) if room else None
            except NodeError as error:
                position.end(error)
                return
            for event in page.items if page else ():
                position.after = event.seq
                if position.name is not None:
                    position.flying.append(event.seq)
                yield event
                if position.over.is_set():
                    return
            if page is not None:
                position.after = max(position.after, page.next)
                if page.items or page.next < page.last:
                    continue
                try:
                    await self._pass_over(position)
                except NodeError as error:
                    position.end(error)
                    return
            if not await self._pause(position, moved):
                yield None

    async def _room(self, position: _Position) -> int:
        if position.name is None:
            return _PAGE
        acked = (await self._feed.subscription(position.name)).acked
        while position.flying and position.flying[0] <= acked:
            position.flying.popleft()
        position.acked = max(position.acked, acked)
        return max(0, position.window - len(position.flying))

    async def _pass_over(self, position: _Position) -> None:
        """Everything sent was acknowledged, and what came after did not pass the filter: it needs no reader."""
        if position.name is not None and not position.flying and position.after > position.acked:
            position.acked = position.after
            await self._feed.acknowledge(position.name, position.after)

    async def _pause(self, position: _Position, moved_on: Callable[[], Awaitable[None]]) -> bool:
        """Wait until something may have changed; False after a heartbeat's time."""
        moved = asyncio.ensure_future(moved_on())
        over = asyncio.create_task(position.over.wait())
        try:
            done, _ = await asyncio.wait({moved, over}, timeout=HEARTBEAT_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            moved.cancel()
            over.cancel()
        return bool(done)

    async def _listen(self, socket_: web.WebSocketResponse, position: _Position) -> None:
        async for message in socket_:
            try:
                if message.type is not WSMsgType.TEXT:
                    raise InvalidInput("Messages are JSON texts.")
                await self._acknowledge(position, _acked(message.data))
            except NodeError as error:
                position.end(error)
                return
        position.end(None)

    async def _acknowledge(self, position: _Position, seq: int) -> None:
        if position.name is None:
            raise InvalidInput("Only a named subscription is acknowledged.", field="seq")
        await self._feed.acknowledge(position.name, seq)


def _resumed(request: web.Request, wish: Wish) -> Wish:
    text = request.headers.get("Last-Event-ID")
    if text is None or wish.name is not None:
        return wish
    feed, _, number = text.rpartition(":")
    if not (number.isascii() and number.isdigit() and len(number) <= 18):
        raise InvalidInput("Last-Event-ID is no id of this feed.", field="Last-Event-ID")
    return Wish(int(number), feed or None, None, wish.wanted)


def _acked(text: str) -> int:
    try:
        message = json.loads(text)
    except ValueError:
        message = None
    seq = message.get("seq") if isinstance(message, dict) and message.get("type") == "ack" else None
    if type(seq) is not int or not 0 <= seq < 2**62:
        raise InvalidInput('The only message is {"type":"ack","seq":number}.')
    return seq


async def _say(socket_: web.WebSocketResponse, kind: str, rest: dict[str, Any]) -> None:
    await socket_.send_str(json.dumps({"type": kind, **rest}, separators=(",", ":")))


def _patient(request: web.Request) -> None:
    """A window that stays shut is no reason to end a stream; a peer that is gone is found out by keep-alive probes."""
    raw = request.transport.get_extra_info("socket") if request.transport else None
    if raw is None:
        return
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    wanted = {"TCP_USER_TIMEOUT": 0, "TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 20, "TCP_KEEPCNT": 3}
    for name, value in wanted.items():
        option = getattr(socket, name, None)
        if option is not None:
            raw.setsockopt(socket.IPPROTO_TCP, option, value)
