"""A Transport over HTTP: a relay keeps the log, the client publishes in batches and long-polls for what is new.

For networks that let nothing but HTTP through, and for readers that want ranges: `entries` reads any part of a topic's
log that the relay still has. A connection here is a series of calls; it is lost when one fails.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import quote

import aiohttp

from channels.errors import FormatError, TransportClosed, TransportError, TransportRefused
from channels.transports.base import Delivery, LinkState, StateCallback, check_payload, retains
from channels.transports.http_wire import Entry, decode_entries, encode_entries
from channels.transports.inbox import Inbox, Switchboard
from channels.transports.link import Backoff, Link
from channels.transports.outgoing import Outgoing, Waiting
from channels.transports.topics import Topic

__all__ = ["HttpSettings", "HttpTransport"]

_BATCH_BYTES = 2_000_000
_GRACE = 60.0
_SWEEP = 5.0
_MAX_ANSWER = 8_000_000
_UNKNOWN, _FORBIDDEN = 401, 403


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """Where the relay is (`https://host[:port]`) and who we are there.

    `client_id` is the user's name or begins with it and a colon, and stays the same over restarts: the relay keeps our
    subscriptions under it. `wait` is how long the relay may keep a call open that has nothing to tell; `inflight`
    bounds the messages that wait for us to work them through, and those of one batch.
    """

    url: str
    client_id: str
    username: str
    password: str = field(repr=False)
    tls: ssl.SSLContext | None = None
    wait: int = 25
    inflight: int = 100
    timeout: float = 10.0
    backoff_first: float = 0.5
    backoff_most: float = 30.0


class _Lost(TransportError):
    """A call failed: the connection counts as lost. `status`: what the relay answered, 0 for nothing."""

    def __init__(self, reason: str, status: int = 0) -> None:
        super().__init__(reason)
        self.status = status

    @property
    def refused(self) -> bool:
        """The relay does not know us, or says no."""
        return self.status in (_UNKNOWN, _FORBIDDEN)


class HttpTransport:
    """A Transport over a relay (node/api/relay.py)."""

    def __init__(self, settings: HttpSettings) -> None:
        self._settings = settings
        self._link = Link()
        self._board = Switchboard()
        self._waiting = Waiting()
        self._done: dict[str, int] = {}
        self._worked = asyncio.Event()
        self._open = 0
        self._session: aiohttp.ClientSession | None = None
        self._broken: asyncio.Future[None] | None = None
        self._running: asyncio.Task[None] | None = None

    @property
    def state(self) -> LinkState:
        """See Transport.state."""
        return self._link.state

    def on_state(self, callback: StateCallback) -> Callable[[], None]:
        """See Transport.on_state."""
        return self._link.on_state(callback)

    async def start(self) -> None:
        """See Transport.start."""
        if self._running is None:
            self._link.set(LinkState.CONNECTING)
            self._running = asyncio.create_task(self._stay_connected(), name=f"http {self._settings.client_id}")

    async def stop(self) -> None:
        """See Transport.stop."""
        if self._running is None:
            return
        if self._link.state is LinkState.CONNECTED:
            with suppress(_Lost):
                await self._tell_done()
        self._running.cancel()
        with suppress(asyncio.CancelledError):
            await self._running
        self._running = None
        closed = TransportClosed("the transport was stopped")
        self._waiting.end(closed)
        self._board.end(closed)
        self._link.set(LinkState.STOPPED)

    async def wait_connected(self) -> None:
        """See Transport.wait_connected."""
        await self._link.wait_connected()

    async def publish(self, topic: Topic, payload: bytes) -> None:
        """See Transport.publish. Raises TransportRefused where the user may not publish: HTTP can say so."""
        check_payload(payload)
        await self._send(topic, payload)

    async def clear(self, topic: Topic) -> None:
        """See Transport.clear."""
        await self._send(topic, b"")

    async def _send(self, topic: Topic, payload: bytes) -> None:
        if self._running is None:
            raise TransportClosed("the transport is not running")
        message = Outgoing(topic.name, payload, retains(topic))
        self._waiting.put(message)
        await message.acknowledged

    async def subscribe(self, *topics: Topic) -> Inbox:
        """See Transport.subscribe."""
        if self._running is None:
            raise TransportClosed("the transport is not running")
        inbox = self._board.open(topics, self._unsubscribe)
        async with AsyncExitStack() as undo:
            undo.push_async_callback(inbox.aclose)
            while True:
                await self._link.wait_connected()
                try:
                    retained = await self._subscribe_now(inbox.names)
                    break
                except _Lost as lost:
                    if lost.refused:
                        raise TransportRefused(f"the relay refuses: {lost}") from lost
                    self._give_up(lost)
            undo.pop_all()
        for entry in retained:
            self._arrived(entry)
        return inbox

    async def entries(self, topic: Topic, after: int = 0, limit: int = 1000) -> list[Entry]:
        """What the relay's log has of a topic behind the place `after`. Raises TransportRefused, TransportError."""
        await self._link.wait_connected()
        query = {"topic": topic.name, "after": str(after), "limit": str(limit)}
        try:
            return await self._entries("GET", "entries", query=query)
        except _Lost as lost:
            raise (TransportRefused if lost.refused else TransportError)(str(lost)) from lost

    async def _subscribe_now(self, names: Iterable[str]) -> list[Entry]:
        return await self._entries("PUT", f"{self._client}/topics", "\n".join(sorted(names)).encode())

    async def _subscribe_again(self) -> None:
        """Renew every subscription; one that is refused now ends, the others go on."""
        await self._subscribe_now(())
        for inbox in tuple(self._board.inboxes):
            try:
                await self._subscribe_now(inbox.names)
            except _Lost as lost:
                if lost.status != _FORBIDDEN:
                    raise
                await inbox.aclose()
                inbox.fail(TransportRefused("the relay refuses a subscription that it took before"))

    async def _unsubscribe(self, inbox: Inbox) -> None:
        gone = inbox.names - self._board.names()
        self._board.drop(gone)
        await self._forget(gone)

    async def _forget(self, names: Iterable[str]) -> None:
        wanted = sorted(names)
        if wanted and self._session is not None:
            # Without a connection the relay goes on; what still comes is acknowledged unread by _sweep.
            with suppress(_Lost):
                await self._call("POST", f"{self._client}/topics/end", "\n".join(wanted).encode())

    @property
    def _client(self) -> str:
        return f"clients/{quote(self._settings.client_id, safe='')}"

    async def _stay_connected(self) -> None:
        backoff = Backoff(self._settings.backoff_first, self._settings.backoff_most)
        while True:
            lost = await self._connect_once(backoff)
            self._link.set(LinkState.REFUSED if lost.refused else LinkState.CONNECTING, str(lost))
            await asyncio.sleep(backoff.next())

    def _give_up(self, lost: _Lost) -> None:
        """End the present connection: the way to the next one has the pauses."""
        self._link.set(LinkState.CONNECTING, str(lost))
        if self._broken is not None and not self._broken.done():
            self._broken.set_exception(lost)

    async def _connect_once(self, backoff: Backoff) -> _Lost:
        settings = self._settings
        connector = aiohttp.TCPConnector(ssl=settings.tls if settings.tls is not None else True)
        auth = aiohttp.encode_basic_auth(settings.username, settings.password)
        async with aiohttp.ClientSession(connector=connector, headers={"Authorization": auth}) as session:
            self._session = session
            tasks: list[asyncio.Future[None]] = []
            try:
                await self._subscribe_again()
                backoff.reset()
                self._link.set(LinkState.CONNECTED)
                work = (self._publishing(), self._polling(), self._acknowledging(), self._sweep())
                self._broken = asyncio.get_running_loop().create_future()
                tasks = [self._broken, *(asyncio.create_task(each) for each in work)]
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            except _Lost as lost:
                return lost
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                self._session = self._broken = None
                self._board.lost()
                self._waiting.lost()
                self._done.clear()
                self._open = 0
        return _Lost("the connection ended")

    async def _publishing(self) -> None:
        """One batch at a time keeps the order."""
        while True:
            self._waiting.more.clear()
            batch: list[Outgoing] = []
            size = 0
            while len(batch) < self._settings.inflight and (
                not batch or size + self._waiting.peek_size() < _BATCH_BYTES
            ):
                message = self._waiting.take()
                if message is None:
                    break
                batch.append(message)
                size += len(message.payload)
            if not batch:
                await self._waiting.more.wait()
                continue
            body = encode_entries(Entry(0, each.topic, each.payload, each.retain) for each in batch)
            refused = await self._refused(body)
            for number, message in enumerate(batch):
                error = TransportRefused(f"the relay refuses a message to {message.topic}")
                self._waiting.done(message, error if number in refused else None)

    async def _refused(self, body: bytes) -> set[int]:
        answer = await self._call("POST", "messages", body)
        digits = answer.partition(b"[")[2].partition(b"]")[0]
        try:
            return {int(number) for number in digits.split(b",") if number.strip()}
        except ValueError as error:
            raise _Lost("the relay's answer cannot be read") from error

    async def _polling(self) -> None:
        after = 0
        while True:
            room = self._settings.inflight - self._open
            if room <= 0:
                self._worked.clear()
                await self._worked.wait()
                continue
            query = {"after": str(after), "limit": str(room), "wait": str(self._settings.wait)}
            for entry in await self._entries("GET", f"{self._client}/news", query=query):
                after = max(after, entry.seq)
                self._arrived(entry)

    def _arrived(self, entry: Entry) -> None:
        try:
            topic = Topic.parse(entry.topic)
        except TransportError:
            return  # whatever a relay sends, it does not stop us
        delivery = Delivery(topic.kind, topic.sid, topic.key, entry.payload, entry.retained)
        if entry.retained:
            self._board.arrived(entry.topic, delivery, _nothing)
            return
        self._open += 1
        self._board.arrived(entry.topic, delivery, partial(self._work_done, entry))

    def _work_done(self, entry: Entry) -> None:
        # Within one topic messages are worked through in order, so the last place stands for all before it.
        self._open -= 1
        self._done[entry.topic] = max(entry.seq, self._done.get(entry.topic, 0))
        self._worked.set()

    async def _acknowledging(self) -> None:
        while True:
            await self._worked.wait()
            self._worked.clear()
            await self._tell_done()

    async def _tell_done(self) -> None:
        if self._done:
            done, self._done = self._done, {}
            body = encode_entries(Entry(seq, topic, b"") for topic, seq in done.items())
            await self._call("POST", f"{self._client}/done", body)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP)
            stale = self._board.give_up(_GRACE)
            await self._forget(set(stale) - self._board.names())

    async def _entries(
        self, method: str, path: str, body: bytes = b"", query: dict[str, str] | None = None
    ) -> list[Entry]:
        try:
            return decode_entries(await self._call(method, path, body, query))
        except FormatError as error:
            raise _Lost("the relay's answer cannot be read") from error

    async def _call(self, method: str, path: str, body: bytes = b"", query: dict[str, str] | None = None) -> bytes:
        """One call; whatever is wrong with it ends the connection."""
        if self._session is None:
            raise _Lost("there is no connection")
        patience = self._settings.timeout + int((query or {}).get("wait", "0"))
        try:
            async with self._session.request(
                method,
                f"{self._settings.url.rstrip('/')}/channels/v1/{path}",
                data=body or None,
                params=query,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=patience),
            ) as answer:
                content = await answer.content.read(_MAX_ANSWER + 1)
                if answer.status >= 300:
                    raise _Lost(f"the relay answers {answer.status}", answer.status)
                while not answer.content.at_eof() and len(content) <= _MAX_ANSWER:
                    content += await answer.content.read(_MAX_ANSWER)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _Lost(str(error) or type(error).__name__) from error
        if len(content) > _MAX_ANSWER:
            raise _Lost("the relay's answer is too long")
        return content


def _nothing() -> None:
    """A retained message is not acknowledged: the relay keeps it anyway."""
