"""How a home's pairing messages get to the gateway: over HTTP to its address, or over the broker to a meeting point."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Protocol

import aiohttp

from channels.errors import TransportRefused
from channels.transports.base import Subscription
from channels.transports.topics import Kind, Topic
from node.app.core import Core
from node.app.spelling import problem_in
from node.errors import Busy, NodeUnreachable, Refused, UsageError
from node.runtime.outbound import read_at_most
from node.services.pairing.code import QrCode, TypedCode
from node.services.pairing.errors import MalformedMessage
from node.services.pairing.rendezvous import ASK_SIZE, Question, Rendezvous

__all__ = ["ANSWER_S", "Road", "road_to"]

ANSWER_S: Final = 20.0
"""Seconds that a home waits for one answer over the broker."""

AGAIN_S: Final = 3.0
"""Seconds after which a question is said again: the gateway may have begun to listen after the first."""


class Road(Protocol):
    """Takes a message of the exchange to the gateway and brings the answer."""

    async def post(self, step: str, message: bytes) -> bytes:
        """Raises NodeUnreachable, Busy, or Refused in the gateway's words."""
        ...


@asynccontextmanager
async def road_to(core: Core, code: TypedCode | QrCode, url: str | None) -> AsyncIterator[Road]:
    """The road for a code. `url` as the person gave it, before the one in the code. Raises UsageError."""
    address = url or (code.url if isinstance(code, QrCode) else "")
    if address:
        yield _OverHttp(core, address)
    elif isinstance(code, QrCode):
        async with _meeting(core, Rendezvous.of(code.secret)) as road:
            yield road
    else:
        raise UsageError(
            "A typed code needs the gateway's address.",
            remedy="Add --url http://..., or give the text of the gateway's QR code, which needs none.",
            field="url",
        )


class _OverHttp:
    def __init__(self, core: Core, url: str) -> None:
        self._core = core
        self._url = url

    async def post(self, step: str, message: bytes) -> bytes:
        url = self._url
        address = f"{url.rstrip('/')}/pairing/v1/{step}"
        headers = {"Content-Type": "application/octet-stream"}
        try:
            async with self._core.http.post(address, data=message, headers=headers, allow_redirects=False) as answer:
                body, status = await read_at_most(answer, 65_536), answer.status
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise NodeUnreachable(
                f"The gateway at {url} cannot be reached.",
                remedy="Check the address; a gateway that cannot be reached has node.outbound_only = true and a QR code"
                " without an address.",
            ) from error
        if status == 429 or status >= 500:
            raise Busy(f"The gateway at {url} is busy.", remedy="Try again in a minute.")
        if status >= 400:
            raise problem_of(body)
        return body


@asynccontextmanager
async def _meeting(core: Core, point: Rendezvous) -> AsyncIterator[Road]:
    topic = Topic(Kind.MEET, point.to_home)
    try:
        async with asyncio.timeout(ANSWER_S):
            letters = await core.transport.subscribe(topic)
    except TimeoutError:
        raise NodeUnreachable(
            f"The broker at {core.settings.broker.url} cannot be reached.",
            remedy="Check [broker] with `wattpact doctor`.",
        ) from None
    except TransportRefused as error:
        raise Refused(
            "The broker does not let this node read its meeting point.",
            remedy="Have its operator give this user `readwrite wattpact/v1/+/meet`.",
        ) from error
    try:
        yield _OverBroker(core, point, letters)
    finally:
        await letters.unsubscribe()


class _OverBroker:
    def __init__(self, core: Core, point: Rendezvous, letters: Subscription) -> None:
        self._core = core
        self._point = point
        self._letters = letters

    async def post(self, step: str, message: bytes) -> bytes:
        ask = os.urandom(ASK_SIZE)
        letter = self._point.ask(Question(ask, step, message), os.urandom)
        saying = asyncio.create_task(self._say(letter))
        try:
            async with asyncio.timeout(ANSWER_S):
                return await self._answer(ask)
        except TimeoutError:
            raise NodeUnreachable(
                "The gateway does not answer at the meeting point.",
                remedy="See that it runs with node.outbound_only = true, that the code is its newest and unused, that"
                " both use the same broker, and that both users there may `readwrite wattpact/v1/+/meet`.",
            ) from None
        finally:
            saying.cancel()
            await asyncio.gather(saying, return_exceptions=True)

    async def _say(self, letter: bytes) -> None:
        while True:
            await self._core.transport.publish(Topic(Kind.MEET, self._point.to_gateway), letter)
            await asyncio.sleep(AGAIN_S)

    async def _answer(self, ask: bytes) -> bytes:
        async for delivery in self._letters:
            try:
                found = self._point.answered(delivery.payload)
            except MalformedMessage:
                continue  # by somebody without the code: the broker, or whoever found the topic
            if found.ask != ask:
                continue  # to another home, or to an earlier question
            if found.refused:
                raise problem_of(found.body)
            return found.body
        raise NodeUnreachable("The connection to the broker ended.", remedy="Try again with the same code.")


def problem_of(body: bytes) -> Refused:
    """What the gateway said, in its words."""
    problem = problem_in(body)
    text = str(problem.get("detail") or problem.get("title") or "The gateway refused.")[:300]
    remedy = str(problem.get("remedy") or "Ask the gateway for a new code: `wattpact pair new`.")[:300]
    field = problem.get("field")
    return Refused(text, remedy=remedy, field=field if isinstance(field, str) else None)
