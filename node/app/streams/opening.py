"""Opens the writer of one stream: fresh, from its kept state, made again from a copy, or taken over from another."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass

import structlog

from channels.errors import GuardError, HighWaterMissing
from channels.gate import Gate
from channels.highwater import HighWater, Mark
from channels.writer import Writer
from channels.writer_state import WriterState
from node.app.chainfeed import ChainFeed
from node.app.core import Core
from node.app.streams.adopting import adopt_stream, adopted_base, former_epoch, handover_of, kept_record
from node.app.streams.masterkeys import MasterKeys
from node.app.streams.rebuilding import Lost, rebuilt_writer
from node.app.streams.streamports import ChainAnswers, CommitRoad, ConsentAnswers
from node.app.streams.streamspec import StreamSpec
from node.errors import NeedsPerson
from node.projection.stream import Stream
from node.services.gateway.engine import StreamEngine
from node.services.gateway.ports import Ports
from node.services.gateway.publisher import Publisher

__all__ = ["WriterOpener", "Writing"]

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Writing:
    """One stream that this gateway writes at the moment. `instance` was drawn when it was opened, so that two copies of
    this gateway never share a message key (channels.md 2). `compared`: set once the broker's word on how far this
    writer had come was heard, before which nothing is sealed."""

    spec: StreamSpec
    instance: bytes
    engine: StreamEngine
    publisher: Publisher
    mark: Mark
    opened_at: float
    compared: asyncio.Event


class WriterOpener:
    """Knows where the parts of a writer lie."""

    def __init__(self, core: Core, feed: ChainFeed, high_water: HighWater) -> None:
        self._core = core
        self._feed = feed
        self._high_water = high_water
        self._gate = Gate(core.settings.chain.max_skew_s, core.settings.chain.max_chain_silence_s)

    async def open(self, spec: StreamSpec, stream: Stream) -> Writing | None:
        """None while it cannot be opened yet: a former writer's last words have not come."""
        core, instance = self._core, os.urandom(16)
        store = core.storage.channels
        keys = MasterKeys(core, spec)
        masters = keys.load(os.urandom(64))
        # A copy brings no state along: it is made again from the commits.
        before = await former_epoch(core, spec.sid)
        saved = await kept_record(core, spec.sid, before)
        if saved is None:
            await core.storage.replicas.restore(spec.sid)
        last = await store.last_commit(spec.sid)
        recorded = 0 if last is None or last.epoch <= before else last.epoch
        fresh = saved is None and not recorded and not stream.epoch
        adopts = saved is None and not recorded and spec.taken
        mark = self._mark(spec, fresh=fresh or adopts)
        writer: Writer | None = None
        if adopts:
            writer = await adopt_stream(core, spec, stream, masters, instance, self._gate)
            if writer is None:
                return None
        elif fresh:
            writer = Writer(spec.params, masters, spec.stream_key, instance, gate=self._gate)
        else:
            if saved is None:
                found = Lost(spec, masters, stream.epoch, mark.position, await self._base(spec, keys))
                writer = await rebuilt_writer(store, found, instance, self._gate)
            else:
                writer = Writer.restore(
                    spec.params, masters, spec.stream_key, instance, saved, mark.position, self._gate
                )
            if not mark.restored:
                # A crash between record and mark leaves the mark behind; what lies between was never published.
                mark.advance(writer.position)
            mark.compare(chain_epoch=stream.epoch, recorded_epoch=recorded, retained_seq=0)
        ports = Ports(
            store,
            ChainAnswers(core, self._feed),
            ConsentAnswers(core, spec.params, spec.owner),
            CommitRoad(core, spec.writer),
            mark,
            core.clock,
            core.settings.meter.max_backlog_s,
        )
        engine = StreamEngine(writer, instance, ports, self._gate)
        await engine.load()
        _log.info("writer_open", category=spec.category, epoch=writer.epoch, seq=writer.position.seq)
        compared = asyncio.Event()
        if not writer.position.seq:
            compared.set()
        publisher = Publisher(spec.sid, store, core.transport)
        return Writing(spec, instance, engine, publisher, mark, core.clock.monotonic(), compared)

    def _mark(self, spec: StreamSpec, *, fresh: bool) -> Mark:
        try:
            return self._high_water.open(spec.sid, fresh=fresh)
        except HighWaterMissing as missing:
            raise NeedsPerson(
                f"{missing}.",
                remedy="If no copy of this gateway ran elsewhere, start it once with "
                "`wattpact run --write-without-history-and-risk-a-second-writer`.",
            ) from missing
        except GuardError as damaged:
            raise NeedsPerson(f"{damaged}.", remedy="Restore the file from the newest backup.") from damaged

    async def _base(self, spec: StreamSpec, keys: MasterKeys) -> WriterState | None:
        """The state that the commits of a lost log are made again from: that of the last erasure, else of the
        takeover; None where the writer began with the stream."""
        snapshot = keys.snapshot()
        if snapshot is not None:
            return WriterState.from_bytes(snapshot)
        handover = await handover_of(self._core, spec.sid)
        return None if handover is None else adopted_base(handover)
