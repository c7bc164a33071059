"""Requests between reader and writer over the broker: the reader asks, the gateway answers what the grant allows."""

from __future__ import annotations

import asyncio
import os

import structlog

from channels.asks import Ask, AskKind, AskLimiter
from channels.errors import FormatError, RejectedError, UsageError
from channels.transports.topics import Kind, Topic
from keys.messages import parcel_domain
from keys.signers import LocalSigner
from node.app.core import Core
from node.app.services import until_stopped
from node.app.streams.adopting import BEGAN
from node.app.streams.gateway import GatewayRole, Writing
from node.app.streams.heirs import Heirs
from node.app.streams.resyncs import ResyncPost
from node.projection.consent import Consent
from node.projection.stream import Stream
from node.runtime.supervisor import Lifecycle, Service
from node.services.gateway.members import OWNER
from node.services.provider.replay import ReplayKind

__all__ = ["AnswerDesk", "Asker", "question_of"]

_log = structlog.get_logger(__name__)

PAGE = 500

AT_ONCE = 64
"""Messages that may be on their way to the broker at once."""

TELL_S = 5.0
"""Seconds between two looks for resyncs that the household has not heard of."""

SAME_AGAIN_S = 10.0
"""The same question of the same reader within this time is one that crossed its answer."""


_Question = tuple[bytes, bytes, AskKind, int, int]


def question_of(ask: Ask) -> _Question:
    """What makes two requests the same question. One consent has several streams, whose pasts are asked for alike."""
    return ask.sid, ask.grant_id, ask.kind, ask.first, ask.last


class Asker:
    """One reader's requests to the writer of one stream. Implements `AskPort`."""

    def __init__(self, core: Core, sid: bytes, grant_id: bytes, signer: LocalSigner) -> None:
        self._core = core
        self._sid = sid
        self._grant_id = grant_id
        self._signer = signer

    async def envelopes(self, first_seq: int, last_seq: int) -> None:
        await self._send(AskKind.ENVELOPES, first_seq, min(last_seq, first_seq + 49_999))

    async def history(self, first_slot: int) -> None:
        await self._send(AskKind.HISTORY, first_slot)

    async def commits(self, first_epoch: int, last_epoch: int) -> None:
        await self._send(AskKind.COMMITS, first_epoch, min(last_epoch, first_epoch + 49_999))

    async def receipt(self, epoch: int) -> None:
        await self._send(AskKind.RECEIPT, epoch)

    async def resync(self, since_epoch: int, request_id: bytes, public: bytes) -> None:
        await self._send(AskKind.RESYNC, since_epoch, request_id=request_id, public=public)

    async def _send(
        self, kind: AskKind, first: int, last: int = 0, *, request_id: bytes = b"", public: bytes = b""
    ) -> None:
        now = self._core.clock.now()
        ask = Ask(kind, self._sid, self._grant_id, request_id or os.urandom(32), now, first, last, public)
        domain = parcel_domain(self._core.settings.chain.chain_id)
        signature = await self._signer.sign_message(ask.statement(self._signer.address), domain)
        _log.info("asked_writer", what=kind.name.lower(), first=first, last=last)
        await self._core.transport.publish(Topic(Kind.ASK, self._sid), ask.encode(signature))


class AnswerDesk:
    """The gateway's side: checks who asks, keeps to the limits, and replays what was recorded."""

    def __init__(self, core: Core, gateway: GatewayRole, heirs: Heirs, resyncs: ResyncPost) -> None:
        self._core = core
        self._heirs = heirs
        self._gateway = gateway
        self._resyncs = resyncs
        self._limiter = AskLimiter()
        self._answered: dict[_Question, float] = {}

    def service(self) -> Service:
        return Service("answers", self._run)

    async def _run(self, life: Lifecycle) -> None:
        await until_stopped(life, self._listen())

    async def _listen(self) -> None:
        for given in await self._resyncs.given():  # once, and four a day, over restarts too
            self._limiter.given(given.request_id, given.grant_id, given.at)
        open_: set[bytes] = set()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._tell_owner())
            while True:
                for sid in [sid for sid in self._gateway.writing if sid not in open_]:
                    open_.add(sid)
                    group.create_task(self._serve(sid))
                await asyncio.sleep(0.5)

    async def _tell_owner(self) -> None:
        while True:
            await self._resyncs.tell(self._heirs.peer_of)
            await asyncio.sleep(TELL_S)

    async def _serve(self, sid: bytes) -> None:
        async with await self._core.transport.subscribe(Topic(Kind.ASK, sid)) as deliveries:
            async for delivery in deliveries:
                writing = self._gateway.writing.get(sid)
                if writing is None:
                    continue  # not ours any more, or about to be opened again: who asked asks again
                try:
                    ask, signature = Ask.decode(delivery.payload)
                    await self._answer(writing, ask, signature)
                except (FormatError, RejectedError, UsageError) as error:
                    _log.info("request_refused", reason=str(error))

    async def _answer(self, writing: Writing, ask: Ask, signature: bytes) -> None:
        now = self._core.clock.now()
        account = await self._account(ask)
        if ask.sid != writing.spec.sid or account is None:
            _log.info("request_refused", reason="no such reader")
            return
        domain = parcel_domain(self._core.settings.chain.chain_id)
        ask.check(domain, account, signature, now)
        began = await self._core.storage.memory.facts.get(BEGAN, ask.sid.hex()) or 0
        if ask.kind in (AskKind.RESYNC, AskKind.RECEIPT) and ask.signed_at < began:
            # A capsule for it would take the place of the Welcome that every member gets from a new writer, and a
            # receipt for the former writer's capsule would clear that Welcome away.
            _log.info("request_refused", reason="it was asked of the writer before")
            return
        refused = self._limiter.admit(ask, now)
        if refused is not None:
            _log.warning("request_refused", reason=refused)
            return
        question = question_of(ask)
        moment = self._core.clock.monotonic()
        if ask.kind is not AskKind.RESYNC and moment - self._answered.get(question, -1e9) < SAME_AGAIN_S:
            return
        self._answered = {q: at for q, at in self._answered.items() if moment - at < SAME_AGAIN_S}
        self._answered[question] = moment
        if ask.kind is AskKind.ENVELOPES:
            await self._envelopes(ask, ask.first, ask.last)
        elif ask.kind is AskKind.HISTORY:
            await self._history(ask)
        elif ask.kind is AskKind.COMMITS:
            await self._commits(writing, ask)
        elif ask.kind is AskKind.RECEIPT:
            await self._core.transport.clear(Topic(Kind.CAPSULE, ask.sid, ask.grant_id))
        elif writing.engine.member(ask.grant_id) is not None:
            await self._resyncs.note(ask, now)
            capsule = await writing.engine.resync(ask.grant_id, ask.public, ask.request_id, ask.first)
            _log.info("resync_given", epoch=writing.engine.active_epoch, size=len(capsule))
            self._core.wake()

    async def _account(self, ask: Ask) -> bytes | None:
        """Whose signature counts: the owner's for the household itself, else the reader's that the Grant names."""
        if ask.grant_id == OWNER:
            return (await self._core.storage.views.one(Stream, ask.sid)).owner
        consent = await self._core.storage.views.one(Consent, ask.grant_id)
        if consent.terms is None or ask.sid not in consent.terms.sids:
            return None
        return consent.terms.reader

    async def _replay(self, ask: Ask, kind: ReplayKind, messages: list[bytes]) -> None:
        topic = Topic(Kind.REPLAY, ask.sid, ask.grant_id)
        for at in range(0, len(messages), AT_ONCE):
            part = messages[at : at + AT_ONCE]
            await asyncio.gather(*(self._core.transport.publish(topic, bytes([kind]) + one) for one in part))

    async def _envelopes(self, ask: Ask, first: int, last: int) -> None:
        store = self._core.storage.channels
        while first <= last:
            page = await store.envelopes_by_seq(ask.sid, first, last, PAGE)
            if not page:
                return
            await self._replay(ask, ReplayKind.ENVELOPE, [envelope.data for envelope in page])
            first = page[-1].seq + 1

    async def _history(self, ask: Ask) -> None:
        """From the first envelope of the slot on: the reader's keys decide what of it opens."""
        store = self._core.storage.channels
        position, first = 0, None
        while first is None:
            page = await store.envelopes(ask.sid, position, PAGE)
            if not page:
                return
            first = next((envelope.seq for envelope in page if envelope.slot >= ask.first), None)
            position = page[-1].position
        await self._envelopes(ask, first, 2**62)
        checkpoints = await store.checkpoints(ask.sid, 0, 100_000)
        await self._replay(ask, ReplayKind.CHECKPOINT, [c.data for c in checkpoints if c.slot >= ask.first])

    async def _commits(self, writing: Writing, ask: Ask) -> None:
        last = min(ask.last, writing.engine.active_epoch)
        page = await self._core.storage.channels.commits(ask.sid, ask.first, max(0, last - ask.first + 1))
        await self._replay(ask, ReplayKind.COMMIT, [commit.data for commit in page])
