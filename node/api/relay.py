"""Channels over HTTP: publish, subscribe, long-poll for what is new, read a range; the rights are those of MQTT users.

    POST /channels/v1/messages                      entries            -> numbers of those that were refused
    PUT  /channels/v1/clients/{client}/topics       one topic a line   -> what is retained
    POST /channels/v1/clients/{client}/topics/end   one topic a line
    GET  /channels/v1/clients/{client}/news?after=&limit=&wait=        -> entries, as soon as there is one
    POST /channels/v1/clients/{client}/done         entries without payload: worked through up to here
    GET  /channels/v1/entries?topic=&after=&limit=                     -> a range of one topic's log

Every call carries the name and password of a broker user (RFC 7617). A client has one open `news` call: a second one
ends the first, as a second MQTT client of one name does.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import os
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from aiohttp import web

from channels.errors import ChannelError
from channels.transports.base import MAX_PAYLOAD
from channels.transports.http_wire import ENTRY_OVERHEAD, Entry, decode_entries, encode_entries
from channels.transports.topics import RETAINED, Topic
from node.api.limits import RateLimiter, peer_key, read_body
from node.api.problems import problem_response
from node.clock import Clock
from node.errors import Busy, Conflict, NodeError, Refused, Unauthenticated, UsageError
from node.runtime.broker.passwords import hash_password, matches_hash
from node.runtime.broker.settings import BrokerUser
from node.runtime.broker.users import UserTable
from node.runtime.relay.log import RelayLog

__all__ = ["Relay"]

_MAX_BODY: Final = 2 * (MAX_PAYLOAD + ENTRY_OVERHEAD + 512)
_BODY_S: Final = 30.0
_MAX_WAIT_S: Final = 55
_MAX_ENTRIES: Final = 1_000
_FAILURES_PER_MINUTE: Final = 10
_HASHES_AT_ONCE: Final = 2
_SWEEP_S: Final = 600.0


class _Poll:
    """One open `news` call: which topics wake it, and why it ends early."""

    def __init__(self, user: str, topics: Iterable[str]) -> None:
        self.user = user
        self.topics = set(topics)
        self.woken = asyncio.Event()
        self.replaced = False


class Relay:
    """The HTTP face of a RelayLog; `application` is mounted or served alone."""

    def __init__(self, log: RelayLog, users: Iterable[BrokerUser], clock: Clock) -> None:
        self._log = log
        self._users = UserTable(users)
        self._clock = clock
        self._polls: dict[str, _Poll] = {}
        self._proven: dict[str, tuple[str, bytes]] = {}
        self._secret = os.urandom(32)
        self._nobody = hash_password("nobody")
        self._hashing = asyncio.Semaphore(_HASHES_AT_ONCE)
        self._failures = RateLimiter(_FAILURES_PER_MINUTE, clock)
        self._closing = False
        self._sweeper: asyncio.Task[None] | None = None

    def application(self) -> web.Application:
        """A new application over this relay: routes, and what starts and stops with it."""
        app = web.Application(client_max_size=_MAX_BODY)
        app.add_routes(
            [
                web.post("/channels/v1/messages", self._guarded(self._publish)),
                web.put("/channels/v1/clients/{client}/topics", self._guarded(self._subscribe)),
                web.post("/channels/v1/clients/{client}/topics/end", self._guarded(self._unsubscribe)),
                web.get("/channels/v1/clients/{client}/news", self._guarded(self._news)),
                web.post("/channels/v1/clients/{client}/done", self._guarded(self._done)),
                web.get("/channels/v1/entries", self._guarded(self._range)),
            ]
        )
        app.on_startup.append(self._start)
        app.on_shutdown.append(self._let_go)
        app.on_cleanup.append(self._stop)
        return app

    def set_users(self, users: Iterable[BrokerUser]) -> None:
        """Other users from now on: open calls of those that are gone end at once."""
        ended = self._users.replace(users)
        for poll in self._polls.values():
            if poll.user in ended:
                poll.woken.set()

    async def _start(self, _app: web.Application) -> None:
        self._closing = False
        await self._log.open()
        self._sweeper = asyncio.create_task(self._sweep(), name="relay sweep")

    async def _let_go(self, _app: web.Application) -> None:
        self._closing = True
        for poll in self._polls.values():
            poll.woken.set()

    async def _stop(self, _app: web.Application) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)
        await self._log.close()

    async def _sweep(self) -> None:
        while True:
            await self._log.sweep(self._clock.now(), tuple(self._polls))
            await asyncio.sleep(_SWEEP_S)

    def _guarded(
        self, handler: Callable[[web.Request, BrokerUser], Awaitable[web.Response]]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            try:
                if self._closing:
                    raise Busy("The relay is stopping.")
                return await handler(request, await self._user(request))
            except ChannelError as error:
                return problem_response(UsageError(f"The body cannot be read: {error}."), None)
            except NodeError as error:
                return problem_response(error, None)

        return handle

    async def _user(self, request: web.Request) -> BrokerUser:
        """Who asks. A password is hashed once; after that a keyed digest of it is compared."""
        name, password = _credentials(request.headers.get("Authorization", ""))
        user = self._users.get(name)
        digest = hmac.digest(self._secret, password.encode(), "sha256")
        hashed, proven = self._proven.get(name, ("", b""))
        if user is not None and hashed == user.password_hash and hmac.compare_digest(proven, digest):
            return user
        self._failures.spend(peer_key(request.remote))
        async with self._hashing:
            known = user.password_hash if user is not None else self._nobody
            fits = await asyncio.to_thread(matches_hash, known, password)
        if user is None or not fits:
            raise Unauthenticated("There is no such user with this password.")
        self._failures.refund(peer_key(request.remote))
        self._proven[name] = (user.password_hash, digest)
        return user

    async def _publish(self, request: web.Request, user: BrokerUser) -> web.Response:
        entries = decode_entries(await read_body(request, _MAX_BODY, _BODY_S))
        allowed: list[Entry] = []
        refused: list[int] = []
        for number, entry in enumerate(entries):
            topic = Topic.parse(entry.topic)
            if len(entry.payload) > MAX_PAYLOAD or (not entry.payload and topic.kind not in RETAINED):
                raise UsageError(f"Message {number} is empty or too large.")
            if self._users.may_publish(user.name, entry.topic):
                allowed.append(entry._replace(retained=topic.kind in RETAINED))
            else:
                refused.append(number)
        await self._log.publish(allowed, self._clock.now())
        written = {entry.topic for entry in allowed}
        for poll in self._polls.values():
            if not poll.topics.isdisjoint(written):
                poll.woken.set()
        return web.json_response({"refused": refused})

    async def _subscribe(self, request: web.Request, user: BrokerUser) -> web.Response:
        client, topics = self._client(request, user), await self._topics(request)
        refused = [topic for topic in topics if not self._users.may_subscribe(user.name, topic)]
        if refused:
            raise Refused(f"The user may not read {refused[0]}.")
        retained = await self._log.subscribe(client, topics, self._clock.now())
        poll = self._polls.get(client)
        if poll is not None:
            poll.topics.update(topics)
            poll.woken.set()
        return _answer(retained)

    async def _unsubscribe(self, request: web.Request, user: BrokerUser) -> web.Response:
        await self._log.unsubscribe(self._client(request, user), await self._topics(request))
        return web.Response(status=204)

    async def _news(self, request: web.Request, user: BrokerUser) -> web.Response:
        client = self._client(request, user)
        after, limit = _number(request, "after", 2**62), _number(request, "limit", _MAX_ENTRIES)
        wait = _number(request, "wait", _MAX_WAIT_S)
        poll = _Poll(user.name, await self._log.topics(client))
        before = self._polls.get(client)
        if before is not None:
            before.replaced = True
            before.woken.set()
        self._polls[client] = poll
        until = asyncio.get_running_loop().time() + wait
        try:
            while True:
                poll.woken.clear()
                found = [
                    entry
                    for entry in await self._log.news(client, after, limit)
                    if self._users.may_subscribe(user.name, entry.topic)
                ]
                left = until - asyncio.get_running_loop().time()
                if found or left <= 0:
                    return _answer(found)
                try:
                    async with asyncio.timeout(left):
                        await poll.woken.wait()
                except TimeoutError:
                    return _answer([])
                if self._closing:
                    raise Busy("The relay is stopping.")
                if poll.replaced:
                    raise Conflict("Another client has the same name.")
                if self._users.get(user.name) != user:
                    raise Unauthenticated("There is no such user with this password.")
        finally:
            if self._polls.get(client) is poll:
                del self._polls[client]

    async def _done(self, request: web.Request, user: BrokerUser) -> web.Response:
        entries = decode_entries(await read_body(request, _MAX_BODY, _BODY_S))
        places = [(entry.topic, entry.seq) for entry in entries]
        await self._log.acknowledge(self._client(request, user), places, self._clock.now())
        return web.Response(status=204)

    async def _range(self, request: web.Request, user: BrokerUser) -> web.Response:
        topic = Topic.parse(request.query.get("topic", "")).name
        if not self._users.may_subscribe(user.name, topic):
            raise Refused(f"The user may not read {topic}.")
        after, limit = _number(request, "after", 2**62), _number(request, "limit", _MAX_ENTRIES)
        return _answer(await self._log.entries(topic, after, limit))

    @staticmethod
    def _client(request: web.Request, user: BrokerUser) -> str:
        client = request.match_info["client"]
        if len(client) > 128 or not user.owns(client):
            raise Refused("A client's name is the user's, or begins with it and a colon.")
        return client

    @staticmethod
    async def _topics(request: web.Request) -> list[str]:
        text = (await read_body(request, _MAX_BODY, _BODY_S)).decode("ascii", "replace")
        return [Topic.parse(line).name for line in text.splitlines()]


def _credentials(header: str) -> tuple[str, str]:
    scheme, _, encoded = header.partition(" ")
    try:
        text = base64.b64decode(encoded, validate=True).decode() if scheme.lower() == "basic" else ""
    except (binascii.Error, UnicodeDecodeError):
        text = ""
    name, colon, password = text.partition(":")
    if not colon:
        raise Unauthenticated("The call names no user.", remedy="Send the name and password of a broker user.")
    return name, password


def _number(request: web.Request, name: str, most: int) -> int:
    text = request.query.get(name, "0" if name != "limit" else str(most))
    if not text.isascii() or not text.isdigit() or len(text) > 19:
        raise UsageError(f"{name} is a number.", field=name)
    return min(int(text), most)


def _answer(entries: Iterable[Entry]) -> web.Response:
    return web.Response(body=encode_entries(entries), content_type="application/octet-stream")
