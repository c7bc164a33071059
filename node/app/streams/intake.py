"""From the meter's port into the writers' buffers: read, judge, derive, keep. One task per gateway."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

import structlog

from channels.errors import UsageError
from channels.readings import Measurement, encode_batch
from channels.stores.records import PendingReading
from node.app.chainfeed import ChainFeed
from node.app.core import Core
from node.app.counters import Counters
from node.app.services import until_stopped
from node.app.streams.gateway import GatewayRole
from node.runtime.supervisor import Lifecycle, Service
from node.services.meter.clock_rule import ClockPolicy, ClockView
from node.services.meter.counters import MeterCounters
from node.services.meter.derive import DerivedReading, DerivedState, derive
from node.services.meter.pipeline import Accepted, MeterPipeline, PipelineState, SetAside
from node.services.meter.reading import Quality
from node.services.meter.serial_source import SerialSettings, SerialSource
from node.services.meter.source import FileSource, MeterSource

__all__ = ["Intake"]

_log = structlog.get_logger(__name__)

HELD = 3_600
"""Telegrams that are kept in memory while the gateway's own clock is in doubt: an hour at 1 Hz."""

QUEUED = 64
"""Chunks of the port that may wait; beyond that the port itself holds the sender back."""

OUTCOMES = {
    "accepted": "ok",
    "accepted_backlog": "ok",
    "checksum": "checksum",
    "truncated": "truncated",
    "malformed": "malformed",
    "unsupported_version": "malformed",
    "bad_trailer": "malformed",
    "oversize": "malformed",
    "set_aside_gateway_clock": "skew",
    "set_aside_future": "skew",
    "set_aside_far_future": "skew",
    "set_aside_past": "skew",
    "set_aside_repeated": "duplicate",
    "set_aside_stuck": "duplicate",
    "set_aside_backward": "duplicate",
}
"""Names of the metric for the meter's own, finer ones."""

AT_ONCE = 256
"""Telegrams that one transaction keeps at most."""


@dataclass(frozen=True, slots=True)
class _Held:
    aside: SetAside
    since: float


class Intake:
    """Reads the configured meter. Before a pairing nothing is read at all: there is nobody whose data it would be."""

    def __init__(self, core: Core, feed: ChainFeed, gateway: GatewayRole, shown: Counters) -> None:
        self.counters = MeterCounters()
        self._shown = shown
        self._core = core
        self._feed = feed
        self._gateway = gateway
        self._held: deque[_Held] = deque(maxlen=HELD)
        self._derived = DerivedState()
        self._last_reason = ""
        self._counted: dict[str, int] = {}

    def service(self) -> Service:
        return Service("meter", self._run)

    def _source(self) -> MeterSource | None:
        meter = self._core.settings.meter
        if meter.kind == "serial":
            return SerialSource(SerialSettings(str(meter.device)), self.counters)
        if meter.kind == "file" and meter.device is not None:
            return FileSource(meter.device)
        return None

    async def _run(self, life: Lifecycle) -> None:
        source = self._source()
        if source is None:
            life.ready()
            await life.stop.wait()
            return
        await until_stopped(life, self._read(source, life))

    async def _read(self, source: MeterSource, life: Lifecycle) -> None:
        while not self._gateway.specs:
            await self._gateway.load()
            if not self._gateway.specs:
                await life.pause(0.5)
        pipeline = await self._pipeline()
        arriving: asyncio.Queue[bytes] = asyncio.Queue(QUEUED)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._fill(source, arriving))
            while True:
                results: list[Accepted | SetAside] = []
                chunk: bytes | None = await arriving.get()
                while chunk is not None:
                    view = self._view()
                    results += self._again(pipeline, view) + pipeline.receive(chunk, view)
                    # A replayed backlog comes faster than a disk flushes: what is here already is kept together.
                    full = len(results) >= AT_ONCE
                    chunk = None if full or arriving.empty() else arriving.get_nowait()
                if results:
                    await self._keep(pipeline, results)
                self._count()

    @staticmethod
    async def _fill(source: MeterSource, arriving: asyncio.Queue[bytes]) -> None:
        async for chunk in source.chunks():
            await arriving.put(chunk)

    async def _pipeline(self) -> MeterPipeline:
        meter = self._core.settings.meter
        note = await self._core.storage.channels.intake_note()
        state = PipelineState()
        if note is not None:
            first, _, second = note.partition(b"\n")
            state, self._derived = PipelineState.from_bytes(first), DerivedState.from_bytes(second)
        policy = ClockPolicy(max_skew=meter.max_skew_s, max_backlog=meter.max_backlog_s)
        return MeterPipeline(policy, self.counters, state)

    def _view(self) -> ClockView:
        # Not the newest block as it is: every reading of a long outage would wait in memory for the chain, not on disk.
        return ClockView(self._core.clock.now(), self._feed.time())

    def _again(self, pipeline: MeterPipeline, view: ClockView) -> list[Accepted | SetAside]:
        """What was held because of our own clock is judged again, oldest first, before anything newer."""
        if not self._held:
            return []
        now = self._core.clock.monotonic()
        results: list[Accepted | SetAside] = []
        while self._held:
            held = self._held[0]
            result = pipeline.reconsider(held.aside, view, round(now - held.since))
            if isinstance(result, SetAside) and result.reason.recoverable:
                break
            self._held.popleft()
            results.append(result)
        return results

    async def _keep(self, pipeline: MeterPipeline, results: list[Accepted | SetAside]) -> None:
        entries: list[DerivedReading] = []
        for result in results:
            if isinstance(result, Accepted):
                self._shown.note(result.electricity.meter_time, result.electricity.values)
                step = derive(self._derived, result)
                self._derived = step.state
                entries += step.entries
            else:
                self._set_aside(result)
        batches: dict[bytes, list[PendingReading]] = {}
        by_name = {spec.category: spec for spec in self._gateway.specs}
        for entry in entries:
            spec = by_name.get(entry.stream)
            if spec is None:
                continue
            row = _pending(entry)
            slot = spec.params.clamped_slot(row.meter_time)
            if slot >= 0:
                kept = PendingReading(row.received_at, row.meter_time, slot, row.payload)
                batches.setdefault(spec.sid, []).append(kept)
        note = pipeline.state.to_bytes() + b"\n" + self._derived.to_bytes()
        # One transaction: a crash keeps the readings with the state that they led to, or neither.
        await self._core.storage.channels.take_in(batches, note)
        self._core.wake()

    def _count(self) -> None:
        """The counters of this meter as metrics, under the few names that these have."""
        found = self.counters.snapshot()
        for outcome, name in OUTCOMES.items():
            for _ in range(found.get(outcome, 0) - self._counted.get(outcome, 0)):
                self._core.metrics.telegram(name)
        self._counted = found

    def _set_aside(self, result: SetAside) -> None:
        if result.reason.recoverable:
            self._held.append(_Held(result, self._core.clock.monotonic()))
        if result.reason.value != self._last_reason:
            self._last_reason = result.reason.value
            _log.warning("telegram_set_aside", reason=result.reason.value, meter_time=result.electricity.meter_time)


def _pending(entry: DerivedReading) -> PendingReading:
    """A derived entry as a buffered reading.

    An interval belongs to the slot of its last second, and counts as taken in then: the readings it was made of were
    judged one by one, and an hour of gas would otherwise always come too late. The same holds for a replayed backlog.
    """
    reading = entry.reading
    measurement = Measurement(
        reading.meter_time,
        reading.receipt_time,
        int(reading.quality) & 0xFF,
        reading.values,
        entry.seconds,
        entry.completeness if entry.seconds else 1000,
        entry.first,
    )
    moment = reading.meter_time + max(0, entry.seconds - 1)
    late = entry.seconds > 0 or Quality.BACKLOG in reading.quality
    try:
        payload = encode_batch([measurement])
    except UsageError as error:
        raise UsageError(f"{entry.stream}: {error}") from error
    return PendingReading(moment if late else reading.receipt_time, moment, 0, payload)
