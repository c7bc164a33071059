"""Streams and readings as the REST interface shows them."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Literal

from channels.readings import Measurement, decode_batch
from channels.slots import StreamParams
from channels.stores.records import OpenedReading, ReadingRange
from keys.stream_key import ED25519_PUBLIC_SIZE
from node.api.curveviews import CurveStepView, CurveView, QuantityView
from node.api.forms import ErasePastForm
from node.api.views import ExportView, PastErasureView, ReadingsPage, ReadingView, StreamView
from node.app.commands.export import build_export, events_of, heights_needed, read_log
from node.app.commands.exported import ExportedStreamKey
from node.app.core import Core
from node.app.streams.gateway import GatewayRole
from node.app.streams.home import HomeRole
from node.app.streams.pastkeeping import PastKeeper
from node.app.streams.provider import ProviderRole
from node.app.streams.resyncs import ResyncBook
from node.errors import InvalidInput, NotFound
from node.ledger.headers import Header
from node.projection.base import ADDRESS_ZERO, AggregateId, Event
from node.projection.stream import Stream

__all__ = ["Streams"]

FOREVER = 2**40

Relation = Literal["owner", "writer", "reader"]

PAGE = 1_000
"""Readings that are opened at once for a curve."""

NAMES = {
    "1-0:1.8.0": "import_wh",
    "1-0:2.8.0": "export_wh",
    "1-0:1.8.1": "import_1_wh",
    "1-0:1.8.2": "import_2_wh",
    "1-0:2.8.1": "export_1_wh",
    "1-0:2.8.2": "export_2_wh",
    "1-0:1.7.0": "import_w",
    "1-0:2.7.0": "export_w",
    "1-0:1.29.0": "interval_import_wh",
    "1-0:2.29.0": "interval_export_wh",
    "0-n:24.2.1": "gas_l",
    "0-n:24.29.1": "interval_gas_l",
}
"""Names for people of the OBIS codes that our streams carry; others keep their code."""


class Streams:
    """Implements the stream part of the facade."""

    def __init__(
        self,
        core: Core,
        gateway: GatewayRole | None,
        home: HomeRole | None,
        provider: ProviderRole,
        pasts: PastKeeper,
    ) -> None:
        self._core = core
        self._pasts = pasts
        self._gateway = gateway
        self._home = home
        self._provider = provider
        self._resyncs = ResyncBook(core)

    async def streams(self) -> tuple[StreamView, ...]:
        """Written, owned and read ones, each once."""
        views = [await self._view(sid, relation) for sid, relation in sorted((await self._relations()).items())]
        return tuple(view for view in views if view is not None)

    async def _relations(self) -> dict[bytes, Relation]:
        sids: dict[bytes, Relation] = {}
        for sid, _ in self._provider.reading:
            sids[sid] = "reader"
        for spec in self._gateway.specs if self._gateway else ():
            sids[spec.sid] = "writer"
        for sid in await self._home.streams() if self._home else {}:
            sids[sid] = "owner" if await self._owns(sid) else "reader"
        return sids

    async def _owns(self, sid: bytes) -> bool:
        """What the household gave away it has read, and reads no more."""
        owner = (await self._core.storage.views.one(Stream, sid)).owner
        return self._home is not None and owner in (ADDRESS_ZERO, self._home.owner.address)

    async def stream(self, sid: bytes) -> StreamView:
        relation = (await self._relations()).get(sid)
        view = None if relation is None else await self._view(sid, relation)
        if view is not None:
            return view
        raise NotFound("This node has no such stream.", remedy="`wattpact stream list` shows all.")

    async def _view(self, sid: bytes, relation: Relation) -> StreamView | None:
        state = await self._core.storage.views.one(Stream, sid)
        if not state.registration:
            return None
        facts = state.registration[-1]
        writing = self._gateway.writing.get(sid) if self._gateway else None
        store = self._core.storage.channels
        grants = [grant for each, grant in self._provider.reading if each == sid]
        spans = [await store.reading_span(sid, grant, ReadingRange()) for grant in grants]
        return StreamView(
            sid=sid,
            name=await self._name(sid),
            relation=relation,
            owner=state.owner,
            writer=None if state.writer == ADDRESS_ZERO else state.writer,
            genesis=facts.genesis,
            slot_seconds=facts.slot_seconds,
            epoch=state.epoch,
            live_readers=(await writing.engine.status()).members if writing else None,
            readings=sum(span.count for span in spans) if spans else None,
            first_reading_at=min((span.first for span in spans if span.first is not None), default=None),
            last_reading_at=max((span.last for span in spans if span.last is not None), default=None),
            alarms=len(await store.alarms(sid)),
            resyncs=await self._resyncs.of(sid),
        )

    async def _name(self, sid: bytes) -> str | None:
        for spec in self._gateway.specs if self._gateway else ():
            if spec.sid == sid:
                return spec.category
        return await self._provider.category(sid)

    async def readings(
        self, sid: bytes, start: int | None, end: int | None, cursor: str | None, limit: int
    ) -> ReadingsPage:
        """What this node opened, from all its grants for the stream, in order of meter time."""
        grants = [grant_id for each, grant_id in self._provider.reading if each == sid]
        if not grants:
            raise NotFound("This node does not read this stream.", remedy="Ask for consent first.")
        offset = _offset(cursor)
        low, high = 0 if start is None else start, FOREVER if end is None else end
        store = self._core.storage.channels
        # One household reads under one grant; several grants of one stream are shown one after the other.
        rows: list[OpenedReading] = []
        for grant_id in grants:
            rows += await store.readings(sid, grant_id, low, high, limit=offset + limit + 1)
        rows.sort(key=lambda row: (row.meter_time, row.epoch, row.seq, row.index))
        page = rows[offset : offset + limit]
        more = len(rows) > offset + limit
        return ReadingsPage(
            sid=sid, items=tuple(_reading(row) for row in page), next=_cursor(offset + limit) if more else None
        )

    async def curve(self, sid: bytes, start: int, end: int, step: int) -> CurveView:
        """Step by step, so that whoever else works in this process waits for one step at most."""
        grants = [grant_id for each, grant_id in self._provider.reading if each == sid]
        if not grants:
            raise NotFound("This node does not read this stream.", remedy="Ask for consent first.")
        items: list[CurveStepView] = []
        for at in range(start, end, step):
            rows: dict[tuple[int, int, int], OpenedReading] = {}
            for grant_id in grants:  # the same reading under two grants counts once
                async for row in self._between(sid, grant_id, at, min(at + step, end)):
                    rows[row.epoch, row.seq, row.index] = row
            if rows:
                items.append(_step(at, [rows[place] for place in sorted(rows)]))
        return CurveView(sid=sid, start=start, end=end, step=step, items=tuple(items))

    async def _between(self, sid: bytes, grant_id: bytes, start: int, end: int) -> AsyncIterator[OpenedReading]:
        offset = 0
        while offset % PAGE == 0:
            page = await self._core.storage.channels.readings(sid, grant_id, start, end, limit=PAGE, offset=offset)
            for row in page:
                yield row
            if not page:
                return
            offset += len(page)

    async def erase_past(self, sid: bytes, form: ErasePastForm) -> PastErasureView:
        return await self._pasts.ask(sid, form.before, form.reason)

    async def past_erasure(self, sid: bytes) -> PastErasureView:
        return await self._pasts.of(sid)

    async def export(self, sid: bytes) -> ExportView:
        """Everything that `wattpact verify` needs: the chain's events with their headers, and this node's log."""
        params = self._params(sid)
        views, rpc = self._core.storage.views, self._core.chain.rpc
        history: list[Event] = []
        after = 0
        while page := await views.history(AggregateId("stream", sid), after=after, limit=500):
            history += [entry.event for entry in page]
            after = page[-1].seq
        events = events_of(history)
        headers: list[Header] = []
        for height in heights_needed(events):
            block = await rpc.block(height)
            if block is not None:
                headers.append(block.header)
        headers += self._core.chain.indexer.chain.headers
        log = await read_log(self._core.storage.channels, params, keys=_former_keys(params))
        return build_export(params, headers, events, log)

    def _params(self, sid: bytes) -> StreamParams:
        for (each, _), reading in self._provider.reading.items():
            if each == sid:
                return reading.membership.params
        found = self._gateway.params_of(sid) if self._gateway else None
        if found is None:
            raise NotFound("This node has no such stream.", remedy="`wattpact stream list` shows all.")
        return found


def _former_keys(params: StreamParams) -> list[ExportedStreamKey]:
    """Of those before the present writer that committed anything: nobody needs the others, and the chain has no use of
    them to show."""
    found: list[ExportedStreamKey] = []
    before = 0
    for each in params.former:
        if each.last_epoch > before:
            halves = each.stream_public[:ED25519_PUBLIC_SIZE], each.stream_public[ED25519_PUBLIC_SIZE:]
            found.append(ExportedStreamKey(*halves, params.signed_envelopes))
        before = max(before, each.last_epoch)
    return found


def _step(start: int, rows: list[OpenedReading]) -> CurveStepView:
    found: dict[str, list[int]] = {}
    for row in rows:
        for name, value in _named(decode_batch(row.payload)[0]).items():
            found.setdefault(name, []).append(value)
    values = {
        name: QuantityView(count=len(v), first=v[0], last=v[-1], low=min(v), high=max(v), sum=sum(v))
        for name, v in found.items()
    }
    return CurveStepView(start=start, readings=len(rows), values=values)


def _named(measurement: Measurement) -> dict[str, int]:
    return {NAMES.get(code, code): value for code, value in measurement.values.items()}


def _reading(row: OpenedReading) -> ReadingView:
    measurement = decode_batch(row.payload)[0]
    values = _named(measurement)
    if measurement.seconds:
        values["seconds"] = measurement.seconds
        values["completeness"] = measurement.completeness
    values["quality"] = measurement.quality
    return ReadingView(
        time=row.meter_time, slot=row.slot, epoch=row.epoch, seq=row.seq, values=values, provisional=row.provisional
    )


def _cursor(offset: int) -> str:
    return base64.urlsafe_b64encode(str(offset).encode()).decode()


def _offset(cursor: str | None) -> int:
    if cursor is None:
        return 0
    try:
        return max(0, int(base64.urlsafe_b64decode(cursor)))
    except ValueError:
        raise InvalidInput(
            "This is no cursor of ours.", field="cursor", remedy="Use `next` of the page before."
        ) from None
