"""Parcels over the broker, for nodes that nobody can reach: each has a mailbox, a topic named by its sealing key.

    question  = 1 | HPKE to the recipient of: ask 16 | answer key 32 | sender's mailbox 32 | parcel
    answer    = 2 | ask 16 | nonce 12 | ChaCha20-Poly1305(answer key, data = label || ask) of: status u16 | text

A question is what `POST /api/v1/inbox` is over HTTP, and its answer has the same status and the same problem document.
Nobody but the recipient can make the answer, for nobody else knows the key: a broker can keep letters back, it cannot
say that one arrived. Letters that come twice, or are played again, are taken in once, since parcels are.

Letters wait at the broker while the recipient is away, unless the broker forgets them. So one without an answer is sent
again, but ever more seldom, or a recipient that is off for days would find thousands of copies.

Who takes a parcel in may itself wait for an answer that comes into this mailbox. So the mailbox is read on meanwhile:
questions are answered beside each other, those of one sender in their order, and answers count at once. A question that
is under way when the node ends is therefore gone from the broker, and its sender, who has no answer, repeats it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from channels.errors import TransportError, TransportRefused
from channels.transports.base import Delivery, LinkState
from channels.transports.topics import Kind, Topic
from keys.errors import SealError
from keys.sealing import OVERHEAD, open_sealed, reader_key_hash, seal
from node.api.limits import RateLimiter
from node.app.core import Core
from node.app.services import until_stopped
from node.app.turns import Turns
from node.errors import NodeError, NodeUnreachable, TooManyRequests
from node.projection.base import Peer
from node.runtime.supervisor import Lifecycle, Service
from node.wire.refusals import OrderRefusal

__all__ = ["Mailbox", "Taken", "same_of"]

_log = structlog.get_logger(__name__)

Taken = Callable[[bytes], Awaitable[None]]
"""Takes a parcel in; raises NodeError."""

WAIT_S: Final = 15.0
"""Seconds to wait for an answer, as for one over HTTP."""

AGAIN_S: Final = 15.0
"""Seconds after which a letter without an answer is sent anew; each time twice as many, up to LONGEST_S."""

LONGEST_S: Final = 600.0

RETRY_S: Final = 30.0
"""Seconds between two tries to read a mailbox that the broker refuses."""

LETTERS_PER_MINUTE: Final = 6_000
"""Questions that are opened, whoever they are from: who wrote one is known only afterwards, and opening costs time."""

AT_ONCE, MOST_WAITING = 16, 256
"""Senders that are answered at the same time, and questions that are held for that; the rest waits outside."""

_MAY_WRITE: Final = f"Have the broker's operator give this user `write wattpact/v1/+/{Kind.MAIL}`."

_QUESTION, _ANSWER = b"\x01", b"\x02"
_LABEL: Final = b"wattpact mail v1"
_ASK, _KEY, _HASH, _NONCE = 16, 32, 32, 12
_HEAD: Final = _ASK + _KEY + _HASH
_MOST_TEXT: Final = 4_096
_MOST_ASKED: Final = 10_000


@dataclass(slots=True)
class _Asked:
    """A letter that is out. `again_at`: monotonic seconds from which it may be sent anew, `pause` after it was sent."""

    name: bytes
    ask: bytes
    again_at: float
    pause: float
    answer: asyncio.Future[tuple[int, bytes]]
    key: bytes = field(repr=False)


class Mailbox:
    """One node's mailbox. It is read from the start by a node that is outbound-only, by others once they send a letter,
    because answers come there."""

    def __init__(self, core: Core, take: Taken) -> None:
        self._core = core
        self._take = take
        self._own = core.keys.sealing.key_hash()
        self._wanted = asyncio.Event()
        self._open = asyncio.Event()
        self._asked: dict[bytes, _Asked] = {}
        self._by_ask: dict[bytes, _Asked] = {}
        self._rate = RateLimiter(LETTERS_PER_MINUTE, core.clock)
        self.refused = ""
        if core.settings.node.outbound_only:
            self._wanted.set()

    @property
    def topic(self) -> Topic:
        """Where letters to this node go."""
        return Topic(Kind.MAIL, self._own)

    @property
    def reads(self) -> bool | None:
        """Whether the broker hands the mailbox out; None where it is not wanted."""
        return self._open.is_set() if self._wanted.is_set() else None

    @property
    def waiting(self) -> int:
        """Letters that are out and whose answer, or what came of it, is still of use."""
        return len(self._asked)

    def service(self) -> Service:
        """Reads the mailbox."""

        async def run(life: Lifecycle) -> None:
            off = self._core.transport.on_state(self._linked)
            try:
                await until_stopped(life, self._read())
            finally:
                off()

        return Service("mailbox", run)

    async def call(self, peer: Peer, same: bytes, make: Callable[[], Awaitable[bytes]]) -> tuple[int, bytes]:
        """Status and text of the answer to a parcel. Raises NodeUnreachable while there is none.

        `same` names what is said again and again until it is taken (`same_of`): while a letter of this name waits for
        its answer no other is made, and a late yes to it holds. Empty for what is said once: its letter is sent in any
        case, and an answer that comes too late says nothing about the next one.
        """
        self._wanted.set()
        name = reader_key_hash(peer.sealing_key) + (same or os.urandom(_HASH))
        try:
            async with asyncio.timeout(WAIT_S):
                await self._open.wait()
                found = await self._former(name) if same else None
                if found is None or not _is_yes(found):  # a no to an older letter may be about its age
                    found = await self._asked_anew(peer, name, await make())
        except TimeoutError:
            raise NodeUnreachable(
                f"No answer from the mailbox of 0x{peer.address.hex()}{self._why()}.", remedy="It is tried again."
            ) from None
        finally:
            asked = self._asked.get(name)
            if asked is not None and (not same or asked.answer.done()):
                self._forget(asked)
        return found

    async def _former(self, name: bytes) -> tuple[int, bytes] | None:
        """The answer to the letter of this name that is out; None without one, or when it is time for another."""
        asked = self._asked.get(name)
        if asked is None or (not asked.answer.done() and self._core.clock.monotonic() >= asked.again_at):
            return None
        return await asyncio.shield(asked.answer)

    async def _asked_anew(self, peer: Peer, name: bytes, parcel: bytes) -> tuple[int, bytes]:
        former = self._asked.get(name)
        pause = AGAIN_S if former is None or former.answer.done() else min(2 * former.pause, LONGEST_S)
        asked = await self._send(peer, name, parcel, pause)
        return await asyncio.shield(asked.answer)

    def _why(self) -> str:
        return f"; the broker says: {self.refused}" if self.refused else ""

    def _forget(self, asked: _Asked) -> None:
        if self._asked.get(asked.name) is asked:  # another may stand there by now
            del self._asked[asked.name]
        self._by_ask.pop(asked.ask, None)

    async def _send(self, peer: Peer, name: bytes, parcel: bytes, pause: float) -> _Asked:
        loop, recipient = asyncio.get_running_loop(), name[:_HASH]
        again_at = self._core.clock.monotonic() + pause
        asked = _Asked(name, os.urandom(_ASK), again_at, pause, loop.create_future(), os.urandom(_KEY))
        former = self._asked.get(name)
        if former is not None:
            self._forget(former)
        plain = asked.ask + asked.key + self._own + parcel
        letter = _QUESTION + seal(peer.sealing_key, plain, _LABEL + recipient)
        while len(self._asked) >= _MOST_ASKED:
            self._forget(next(iter(self._asked.values())))
        self._asked[name] = self._by_ask[asked.ask] = asked
        out = False
        try:
            await self._core.transport.publish(Topic(Kind.MAIL, recipient), letter)
            out = True
        except TransportError as error:
            where = f"the mailbox of 0x{peer.address.hex()}"
            raise NodeUnreachable(f"The letter to {where} was not sent: {error}.", remedy=_MAY_WRITE) from error
        finally:
            if not out:
                self._forget(asked)  # so nobody waits for its answer
        return asked

    def _linked(self, state: LinkState, _: str) -> None:
        """After a gap nobody knows what the broker still has: what waits is sent anew at its next try."""
        if state is LinkState.CONNECTED:
            for asked in self._asked.values():
                asked.again_at = self._core.clock.monotonic()

    async def _read(self) -> None:
        await self._wanted.wait()
        while True:
            try:
                async with (
                    await self._core.transport.subscribe(self.topic) as letters,
                    Turns(AT_ONCE, MOST_WAITING) as turns,
                ):
                    self.refused = ""
                    self._open.set()
                    async for delivery in letters:
                        await self._received(delivery, turns)
            except TransportRefused as error:
                self.refused = str(error)
                _log.error("mailbox_refused", topic=self.topic.name, remedy=f"give this user: read {self.topic.name}")
            finally:
                self._open.clear()
            await asyncio.sleep(RETRY_S)

    async def _received(self, delivery: Delivery, turns: Turns) -> None:
        letter = delivery.payload
        if letter[:1] == _ANSWER:
            self._answered(letter[1:])
        elif letter[:1] == _QUESTION and len(letter) <= self._most():
            await self._question(letter[1:], turns)
        else:
            self._core.metrics.parcels.labels("refused").inc()

    def _most(self) -> int:
        return 1 + OVERHEAD + _HEAD + self._core.settings.api.max_parcel_bytes

    async def _question(self, sealed: bytes, turns: Turns) -> None:
        try:
            self._rate.spend("")
        except TooManyRequests:
            self._core.metrics.parcels.labels("dropped").inc()  # its sender repeats it
            return
        try:
            plain = open_sealed(self._core.keys.sealing, sealed, _LABEL + self._own)
        except SealError:
            self._core.metrics.parcels.labels("refused").inc()
            return
        if len(plain) <= _HEAD:
            self._core.metrics.parcels.labels("refused").inc()
            return
        ask, key, sender = plain[:_ASK], plain[_ASK : _ASK + _KEY], plain[_ASK + _KEY : _HEAD]
        await turns.add(sender, partial(self._reply, ask, key, Topic(Kind.MAIL, sender), plain[_HEAD:]))

    async def _reply(self, ask: bytes, key: bytes, to: Topic, parcel: bytes) -> None:
        status, text = await self._judged(parcel)
        nonce = os.urandom(_NONCE)
        sealed = ChaCha20Poly1305(key).encrypt(nonce, status.to_bytes(2, "big") + text[:_MOST_TEXT], _LABEL + ask)
        try:
            await self._core.transport.publish(to, _ANSWER + ask + nonce + sealed)
        except TransportError as error:
            # The sender chose this topic. Its letter is done with; it asks again if it wants to know.
            _log.warning("answer_not_sent", topic=to.name, reason=str(error), remedy=_MAY_WRITE)

    async def _judged(self, parcel: bytes) -> tuple[int, bytes]:
        try:
            await self._take(parcel)
        except NodeError as error:
            problem: dict[str, object] = {"detail": error.message, "remedy": error.remedy, "code": error.code}
            if isinstance(error.proof, OrderRefusal):
                problem["proof"] = error.proof.to_json()
            return error.status, json.dumps(problem).encode()
        except Exception:  # noqa: BLE001 - logged, and said to the sender
            # As at an HTTP server: one parcel that breaks its taker must not end the mailbox, or come again for ever.
            _log.exception("parcel_broke_its_taker")
            return 500, b""
        return 202, b""

    def _answered(self, letter: bytes) -> None:
        ask, nonce, sealed = letter[:_ASK], letter[_ASK : _ASK + _NONCE], letter[_ASK + _NONCE :]
        asked = self._by_ask.get(ask)
        if asked is None or asked.answer.done():
            return
        with suppress(InvalidTag, ValueError):  # somebody else's: the true one may still come
            plain = ChaCha20Poly1305(asked.key).decrypt(nonce, sealed, _LABEL + ask)
            asked.answer.set_result((int.from_bytes(plain[:2], "big"), plain[2:]))


def _is_yes(found: tuple[int, bytes]) -> bool:
    return found[0] < 300


def same_of(*parts: str) -> bytes:
    """The name of what is said until it is taken, from all that tells it from other things to the same recipient."""
    return hashlib.sha256(json.dumps(parts).encode()).digest()
