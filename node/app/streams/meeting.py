"""The gateway at its meeting point: while a code is out, it answers homes over the broker (permissions.md 2)."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import suppress
from typing import Final

import structlog

from channels.errors import TransportRefused
from channels.transports.base import Delivery, Subscription
from channels.transports.topics import Kind, Topic
from node.app.core import Core
from node.app.services import until_stopped
from node.app.streams.pairing import GatewayPairing
from node.errors import NodeError
from node.runtime.supervisor import Lifecycle, Service
from node.services.pairing.errors import MalformedMessage
from node.services.pairing.gateway_machine import OVER_BROKER
from node.services.pairing.rendezvous import Answer, Rendezvous
from node.services.pairing.wire import ATTEMPT_SIZE

__all__ = ["MeetingPoint"]

_log = structlog.get_logger(__name__)

LOOK_S: Final = 5.0
"""Seconds between two looks whether the code still holds, when nothing came."""

_REMEDY: Final = "give this user at the broker: readwrite wattpact/v1/+/meet"
_ATTEMPT = slice(3, 3 + ATTEMPT_SIZE)


class MeetingPoint:
    """Listens where the newest code leads, and nowhere once that is used, locked or too old."""

    def __init__(self, core: Core, pairing: GatewayPairing) -> None:
        self._core = core
        self._pairing = pairing

    def service(self) -> Service:
        """Runs as long as the node."""

        async def run(life: Lifecycle) -> None:
            await until_stopped(life, self._work())

        return Service("meeting", run)

    async def _work(self) -> None:
        while True:
            self._pairing.changed.clear()
            point = await self._pairing.rendezvous()
            if point is None:
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S):
                        await self._pairing.changed.wait()
                continue
            try:
                letters = await self._core.transport.subscribe(Topic(Kind.MEET, point.to_gateway))
                try:
                    await self._stay(point, letters)
                finally:
                    await letters.unsubscribe()
            except TransportRefused as error:  # at once, or because the right was taken away
                _log.error("meeting_refused", reason=str(error), remedy=_REMEDY)
                await asyncio.sleep(LOOK_S)

    async def _stay(self, point: Rendezvous, letters: Subscription) -> None:
        """Answers until the code leads here no more."""
        coming = asyncio.ensure_future(anext(letters))
        try:
            while await self._pairing.rendezvous() == point:
                changed = asyncio.ensure_future(self._pairing.changed.wait())
                await asyncio.wait({coming, changed}, timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
                changed.cancel()
                self._pairing.changed.clear()
                if coming.done():
                    delivery = coming.result()
                    coming = asyncio.ensure_future(anext(letters))
                    await self._answer(point, delivery)
        finally:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)

    async def _answer(self, point: Rendezvous, delivery: Delivery) -> None:
        try:
            question = point.asked(delivery.payload)
        except MalformedMessage:
            return  # by somebody without the code
        peer = OVER_BROKER + question.body[_ATTEMPT].hex()
        try:
            answer = Answer(question.ask, False, await self._pairing.answer(question.step, question.body, peer))
        except NodeError as error:
            problem = {"detail": error.message, "remedy": error.remedy, "field": error.field, "code": error.code}
            answer = Answer(question.ask, True, json.dumps(problem).encode())
        try:
            await self._core.transport.publish(Topic(Kind.MEET, point.to_home), point.answer(answer, os.urandom))
        except TransportRefused as error:  # over HTTP; the home says it again
            _log.error("meeting_refused", reason=str(error), remedy=_REMEDY)
