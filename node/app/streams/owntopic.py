"""The gateway's eye on its own topics: a second writer of a stream is seen there before the chain can tell."""

from __future__ import annotations

import asyncio

import structlog

from channels.checkpoint import Checkpoint
from channels.envelope import EnvelopeHeader
from channels.errors import ChannelError, ForeignWriter, FormatError
from channels.guard import OwnTopicWatch
from channels.stores.records import Alarm
from channels.transports.base import Delivery
from channels.transports.topics import Kind, Topic
from node.app.core import Core
from node.app.services import until_stopped
from node.app.streams.gateway import GatewayRole, Writing
from node.errors import NeedsPerson
from node.runtime.supervisor import Lifecycle, Service

__all__ = ["OwnTopics"]

_log = structlog.get_logger(__name__)

LOOK_S = 0.5
PAGE = 1_000

TWO_WRITERS = "Stop one of the two; to move a gateway, stop it first and take its whole data folder along."

PATIENCE_S = 10.0
"""Seconds on a living connection in which the broker has to say what it keeps of this writer, if it keeps anything."""


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
        watched: dict[bytes, Writing] = {}
        async with asyncio.TaskGroup() as group:
            while True:
                for sid, writing in list(self._gateway.writing.items()):
                    if watched.get(sid) is not writing:
                        watched[sid] = writing
                        group.create_task(self._watch(writing))
                await asyncio.sleep(LOOK_S)

    async def _watch(self, writing: Writing) -> None:
        sid = writing.spec.sid
        former = writing.engine.writer.state.log.origin - 1
        watch = OwnTopicWatch(sid, writing.instance, await self._instances(sid), former)
        topics = (Topic(Kind.DATA, sid), Topic(Kind.CHECKPOINTS, sid))
        async with await self._core.transport.subscribe(*topics) as found, asyncio.TaskGroup() as group:
            group.create_task(self._lose_patience(writing))
            async for delivery in found:
                if self._gateway.writing.get(sid) is not writing:
                    return  # another writer was set, whose words are no second writer's; or ours was opened anew
                await self._look(writing, watch, delivery)

    async def _lose_patience(self, writing: Writing) -> None:
        """A broker that lost what it kept must not silence the gateway for good."""
        expected = await self._core.storage.channels.last_checkpoint(writing.spec.sid) is not None
        await self._core.transport.wait_connected()
        await asyncio.sleep(PATIENCE_S if expected else 1.0)
        writing.compared.set()
        self._core.wake()

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
            await self._compare(writing, delivery.payload)
            if delivery.retained and not writing.compared.is_set():
                writing.compared.set()
                self._core.wake()
            return
        try:
            watch.look(delivery.payload, position.seq, await self._ours(writing, delivery.payload))
        except ForeignWriter as foreign:
            alarm = Alarm("second_writer", self._core.clock.now(), str(foreign), (foreign.evidence,))
            await self._core.storage.channels.raise_alarm(writing.spec.sid, alarm)
            self._core.metrics.alarm("second_writer")
            raise NeedsPerson(
                f"Another gateway writes {writing.spec.category}: {foreign}.",
                remedy=TWO_WRITERS,
            ) from foreign

    async def _ours(self, writing: Writing, envelope: bytes) -> bytes | None:
        """What we sealed under the number of an envelope that another run sealed."""
        try:
            header = EnvelopeHeader.decode(envelope)
        except FormatError:
            return None
        if header.inst == writing.instance:
            return None
        found = await self._core.storage.channels.envelopes_by_seq(writing.spec.sid, header.seq, header.seq, 1)
        return found[0].data if found else None

    async def _compare(self, writing: Writing, payload: bytes) -> None:
        """A checkpoint of ours that goes further than we do: this folder was restored from a backup. One that we never
        signed: a copy of this gateway runs, and each of the two may be the one that counts."""
        try:
            if Checkpoint.decode(payload).epoch < writing.engine.writer.state.log.origin:
                return  # of the writer that this one has replaced
            seen = Checkpoint.verify(payload, writing.spec.params.stream_public)
        except ChannelError as error:
            _log.warning("checkpoint_forged", reason=str(error))
            return
        if seen.sid != writing.spec.sid:
            return
        if seen.last_seq > writing.engine.writer.position.seq:
            raise NeedsPerson(
                f"The broker has a later checkpoint of {writing.spec.category} than this gateway has sealed.",
                remedy="Restore the newest backup, or stop the other copy of this gateway.",
            )
        sid = writing.spec.sid
        ours = await self._core.storage.channels.envelopes_by_seq(sid, seen.last_seq, seen.last_seq, 1)
        if ours and ours[0].hash != seen.last_hash:
            raise NeedsPerson(
                f"Another gateway writes {writing.spec.category}: its checkpoint ends in an envelope that is not ours.",
                remedy=TWO_WRITERS,
            )
