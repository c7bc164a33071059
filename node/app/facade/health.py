"""How this node does: status, readiness, alarms. Everything is looked up at the call; nothing is assumed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from channels.transports.base import LinkState
from channels.transports.topics import Kind, Topic
from node.api.views import (
    AlarmView,
    BrokerView,
    CatchingUpView,
    ChainView,
    CheckView,
    ReadinessView,
    RetentionView,
    StatusView,
)
from node.app.chainfeed import ChainFeed
from node.app.core import Core
from node.app.facade.pairing import PairingPart
from node.app.streams.gateway import GatewayRole
from node.app.streams.provider import ProviderRole
from node.app.streams.retention import Retention
from node.config import VERSION
from node.ledger.balance import Balance
from node.ledger.errors import LedgerError
from node.projection.asking import Asking
from node.projection.consent import Consent
from node.projection.request import Request
from node.projection.stream import Stream

__all__ = ["Health"]

OLD_OUTBOX_S = 300
"""An effect that waits longer than this makes the node not ready: something does not go out."""


class Health:
    """Implements the health part of the facade."""

    def __init__(
        self,
        core: Core,
        feed: ChainFeed,
        pairing: PairingPart,
        retention: Retention,
        gateway: GatewayRole | None,
        provider: ProviderRole | None,
        sources: Callable[[], Awaitable[int]],
    ) -> None:
        self._core = core
        self._feed = feed
        self._pairing = pairing
        self._retention = retention
        self._gateway = gateway
        self._provider = provider
        self._sources = sources

    def _chain(self) -> ChainView:
        head = self._core.chain.indexer.head
        settings = self._core.settings.chain
        return ChainView(
            chain_id=settings.chain_id,
            registry=self._core.registry,
            head_block=head.number if head else None,
            head_age_s=self._core.clock.now() - head.timestamp if head else None,
            final_block=self._core.chain.final if self._core.chain.final >= 0 else None,
            catching_up=self._catching_up(),
        )

    def _catching_up(self) -> CatchingUpView | None:
        found = self._feed.progress
        if found is None or found.total == 0:
            return None
        return CatchingUpView(
            blocks_done=found.done,
            blocks_total=found.total,
            events=found.events,
            events_per_s=found.events_per_s,
            left_s=found.left_s,
        )

    async def status(self) -> StatusView:
        core = self._core
        views = core.storage.views
        outbox = await core.storage.outbox.counts()
        consents = await views.counts(Consent)
        requests = await views.counts(Request)
        asked = await views.counts(Asking)
        pairing = await self._pairing.pairing_status()
        identity = core.keys.identity
        readiness = await self.readiness()
        pure_gateway = core.settings.node.roles == ("gateway",)
        return StatusView(
            name=core.settings.node.name,
            version=VERSION,
            roles=core.settings.node.roles,
            owner=None if pure_gateway else identity.wallet().address,
            device=identity.device().address if self._gateway else None,
            sender=core.chain.sender.address,
            sender_balance_wei=await self._balance(),
            chain=self._chain(),
            broker=BrokerView(
                connected=core.transport.state is LinkState.CONNECTED,
                embedded=core.settings.broker.embedded,
                url=str(core.settings.broker.url),
                mailbox=self._mailbox if core.mail is not None and core.mail.reads is not None else None,
            ),
            pairing=pairing.state,
            streams=sum((await views.counts(Stream)).values()),
            live_consents=consents.get("live", 0),
            pending_requests=requests.get("received", 0) + requests.get("shown", 0) + asked.get("asked", 0),
            energy_token=core.chain.energy.address if core.chain.energy is not None else None,
            pending_sources=await self._sources(),
            outbox_pending=outbox.pending,
            open_alarms=len(await self.alarms()),
            started_at=core.started_at,
            now=core.clock.now(),
            ready=readiness.ready,
            retention=RetentionView(**self._retention.settings.model_dump(), removed=self._retention.removed),
        )

    async def _balance(self) -> int | None:
        try:
            return await self._core.chain.rpc.balance(self._core.chain.sender.address)
        except LedgerError:
            return None

    async def readiness(self) -> ReadinessView:
        return ReadinessView(
            checks=(
                self._chain_check(),
                *self._clock_check(),
                self._broker_check(),
                *self._mailbox_check(),
                await self._outbox_check(),
                *self._replica_checks(),
                *self._faults(),
            )
        )

    @property
    def _mailbox(self) -> str:
        return Topic(Kind.MAIL, self._core.keys.sealing.key_hash()).name

    def _mailbox_check(self) -> tuple[CheckView, ...]:
        """Only where messages come over the broker; without a connection the broker's own check says so."""
        mail = self._core.mail
        if mail is None or mail.reads is None or self._core.transport.state is not LinkState.CONNECTED:
            return ()
        right = f"read {self._mailbox}"
        detail = "messages come over the broker" if mail.reads else f"give this user at the broker: {right}"
        return (CheckView(name="mailbox", ok=mail.reads, detail=detail),)

    def _chain_check(self) -> CheckView:
        chain = self._chain()
        limit = self._core.settings.chain.max_chain_silence_s
        fault = self._core.chain.indexer.fault
        if chain.head_age_s is None or chain.head_age_s > limit:
            detail = (
                "no block seen yet" if chain.head_age_s is None else f"the newest block is {chain.head_age_s} s old"
            )
            why = f": {fault}" if fault else ""
            return CheckView(
                name="chain", ok=False, detail=detail + why, remedy="Check chain.rpc_urls and the network."
            )
        return CheckView(name="chain", ok=True, detail=f"block {chain.head_block}, {chain.head_age_s} s old")

    def _clock_check(self) -> tuple[CheckView, ...]:
        """A block is never from the future. Behind this clock it is old, or this clock is ahead, and looks the same."""
        age, limit = self._chain().head_age_s, self._core.settings.chain.max_skew_s
        if age is None:
            return ()
        if abs(age) <= limit:
            return (CheckView(name="clock", ok=True, detail=f"within {limit} s of the newest block"),)
        behind = f"{-age} s behind the newest block"
        remedy = "Set this clock (timedatectl, NTP): nothing is sealed while it is wrong."
        if age > limit:
            behind = f"{age} s ahead of the newest block, which may be an old one"
            remedy = "If new blocks come, set this clock (timedatectl, NTP); else wait for the chain."
        return (CheckView(name="clock", ok=False, detail=behind, remedy=remedy),)

    def _broker_check(self) -> CheckView:
        state = self._core.transport.state
        if state is LinkState.CONNECTED:
            return CheckView(name="broker", ok=True, detail="connected")
        return CheckView(name="broker", ok=False, detail=state.value, remedy="Check broker.url and the broker's log.")

    async def _outbox_check(self) -> CheckView:
        counts = await self._core.storage.outbox.counts()
        oldest = None if counts.oldest is None else self._core.clock.now() - counts.oldest
        self._core.metrics.outbox_pending.set(counts.pending)
        if oldest is not None and oldest > OLD_OUTBOX_S:
            remedy = "See `wattpact transaction list` and the log."
            return CheckView(name="outbox", ok=False, detail=f"the oldest effect waits for {oldest} s", remedy=remedy)
        return CheckView(name="outbox", ok=True, detail=f"{counts.pending} waiting, {counts.dead} given up")

    def _replica_checks(self) -> tuple[CheckView, ...]:
        """A second store that lags is a loss waiting for the first one to fail."""
        remedy = "Bring it back, or change storage.replicas."
        return tuple(
            CheckView(name="replica", ok=not r.fault, detail=f"{r.name}: {r.fault or 'up to date'}", remedy=remedy)
            for r in self._core.storage.replicas.all
        )

    def _faults(self) -> tuple[CheckView, ...]:
        """What keeps the sender or a writer from moving."""
        checks: list[CheckView] = []
        fault = self._core.chain.sender.fault
        if fault is not None:
            checks.append(CheckView(name="sender", ok=False, detail=str(fault), remedy=fault.remedy))
        balance = self._core.chain.balance.latest
        if balance is not None:
            # Low is a warning: what is due still goes out. `sender` above says when it does not.
            remedy = "Send the sender some ether; see `wattpact status`." if balance.low else ""
            checks.append(CheckView(name="balance", ok=True, detail=f"{_low(balance)}{balance}", remedy=remedy))
        for writing in self._gateway.writing.values() if self._gateway else ():
            if writing.engine.fault:
                detail = f"{writing.spec.category}: {writing.engine.fault}"
                checks.append(CheckView(name="writer", ok=True, detail=detail))
        for category, writer in self._gateway.ended.items() if self._gateway else ():
            who = f"the owner has set another writer, 0x{writer.hex()}" if any(writer) else "the pairing has ended"
            detail = f"{category}: {who}; this gateway writes it no more"
            checks.append(CheckView(name="moved", ok=True, detail=detail))
        for category, waits in self._gateway.erasing.items() if self._gateway else ():
            checks.append(CheckView(name="erasure", ok=True, detail=f"{category}: its past is not erased yet: {waits}"))
        return tuple(checks)

    async def alarms(self) -> tuple[AlarmView, ...]:
        store = self._core.storage.channels
        found: list[AlarmView] = []
        for sid in await store.streams():
            for alarm in await store.alarms(sid):
                found.append(
                    AlarmView(
                        id=f"{sid.hex()[:16]}-{alarm.id}",
                        kind=alarm.kind,
                        message=alarm.detail or alarm.kind,
                        remedy="Export the stream and check it with `wattpact verify`.",
                        sid=sid,
                        raised_at=alarm.raised_at,
                    )
                )
        return tuple(found)


def _low(balance: Balance) -> str:
    return "low: " if balance.low else ""
