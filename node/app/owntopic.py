"""The gateway's eye on its own topics: a second writer of a stream is seen there before the chain can tell."""

from __future__ import annotations

import asyncio

import structlog

from channels.checkpoint import Checkpoint
from channels.errors import ChannelError, ForeignWriter
from channels.guard import OwnTopicWatch
from channels.stores.records import Alarm
from channels.transports.base import Delivery
from channels.transports.topics import Kind, Topic
from node.app.core import Core
from node.app.gateway import GatewayRole, Writing
from node.app.services import until_stopped
from node.errors import NeedsPerson
from node.runtime.supervisor import Lifecycle, Service

__all__ = ["OwnTopics"]

_log = structlog.get_logger(__name__)

LOOK_S = 0.5
PAGE = 1_000


class OwnTopics:
    """Listens on the topics that this gateway writes (channels.md 4, rule 10)."""

    def __init__(self, core: Core, gateway: GatewayRole) -> None:
        self._core = core
        self._gateway = gateway

    def service(self) -> Service:
        return Service("guard", self._run)

    async def _run(self, life: Lifecycle) -> None:
        await until_stopped(life, self._listen())

    async def _listen(self) -> None:
        watched: set[bytes] = set()
        async with asyncio.TaskGroup() as group:
            while True:
                for sid, writing in list(self._gateway.writing.items()):
                    if sid not in watched:
                        watched.add(sid)
                        group.create_task(self._watch(writing))
                await asyncio.sleep(LOOK_S)

    async def _watch(self, writing: Writing) -> None:
        sid = writing.spec.sid
        watch = OwnTopicWatch(sid, self._gateway.instance, await self._instances(sid))
        async with await self._core.transport.subscribe(Topic(Kind.DATA, sid), Topic(Kind.CHECKPOINTS, sid)) as found:
            async for delivery in found:
                await self._look(writing, watch, delivery)

    async def _instances(self, sid: bytes) -> frozenset[bytes]:
        """The ids of this writer's earlier runs, as far as the log goes."""
        found: set[bytes] = set()
        position = 0
        while page := await self._core.storage.channels.envelopes(sid, position, PAGE):
            found.update(envelope.inst for envelope in page)
            position = page[-1].position
        return frozenset(found)

    async def _look(self, writing: Writing, watch: OwnTopicWatch, delivery: Delivery) -> None:
        position = writing.engine.writer.position
        if delivery.kind is Kind.CHECKPOINTS:
            self._compare(writing, delivery.payload)
            return
        try:
            watch.look(delivery.payload, position.seq)
        except ForeignWriter as foreign:
            alarm = Alarm("second_writer", self._core.clock.now(), str(foreign), (foreign.evidence,))
            await self._core.storage.channels.raise_alarm(writing.spec.sid, alarm)
            self._core.metrics.alarm("second_writer")
            raise NeedsPerson(
                f"Another gateway writes {writing.spec.category}: {foreign}.",
                remedy="Stop one of the two; to move a gateway, stop it first and take its whole data folder along.",
            ) from foreign

    def _compare(self, writing: Writing, payload: bytes) -> None:
        """A checkpoint of ours that goes further than we do: this folder was restored from a backup."""
        try:
            seen = Checkpoint.verify(payload, writing.spec.params.stream_public)
        except ChannelError as error:
            _log.warning("checkpoint_forged", reason=str(error))
            return
        if seen.sid == writing.spec.sid and seen.last_seq > writing.engine.writer.position.seq:
            raise NeedsPerson(
                f"The broker has a later checkpoint of {writing.spec.category} than this gateway has sealed.",
                remedy="Restore the newest backup, or stop the other copy of this gateway.",
            )
