"""The node as a process: opens what it stands on, starts the services of its roles, and ends them in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import structlog

from channels.errors import FolderLocked, StoreError, StoreKeyWrong
from channels.guard import FolderLock
from channels.highwater import HighWater
from node.api import ApiParts, ApiServer, FeedParts, Tokens, create_api
from node.api.callers import unnamed_proxy
from node.app.cards import CardShown, OwnCard
from node.app.chainfeed import ChainFeed
from node.app.commands.broker import OwnBroker
from node.app.core import Core, open_core
from node.app.datadir import DataDir, open_identity
from node.app.facade import NodeFacadeOfApp
from node.app.facade.consents import Consents
from node.app.facade.feed import FeedPart, Ground, WebhookPart
from node.app.facade.health import Health
from node.app.facade.ledger import LedgerPart
from node.app.facade.pairing import PairingPart
from node.app.facade.streams import Streams
from node.app.garbage import keep_what_is_there
from node.app.inbox import Inbox
from node.app.mail import Mailbox
from node.app.parcels import Post
from node.app.services import hand_over_soon, looped, until_stopped
from node.app.settling import make_settling
from node.app.streams.asking import AnswerDesk
from node.app.streams.domains import DomainWatch
from node.app.streams.erasing import Eraser
from node.app.streams.gateway import GatewayRole
from node.app.streams.giving import StreamGiver
from node.app.streams.heirs import Heirs
from node.app.streams.home import HomeRole
from node.app.streams.intake import Intake
from node.app.streams.meeting import MeetingPoint
from node.app.streams.moving import Mover
from node.app.streams.owntopic import OwnTopics
from node.app.streams.pairing import GatewayPairing, HomePairing
from node.app.streams.pasterasing import PastEraser
from node.app.streams.pastkeeping import PastKeeper
from node.app.streams.provider import ProviderRole
from node.app.streams.refreshing import KeyCourier, KeyRefresher
from node.app.streams.resyncs import ResyncPost, register_resyncs
from node.app.streams.retention import Opened, Retention
from node.app.streams.rotating import Rotator
from node.app.streams.takeover import Takeover
from node.app.streams.transferring import TransferWatch, block_time
from node.app.streams.undone import UndoneGrants
from node.app.submissions import Submissions
from node.app.tokens import StoredTokens
from node.clock import SystemClock
from node.config import LoadedConfig, LocalAccess, Settings, keystore_passphrase, remove_access, write_access
from node.errors import ConfigError, Conflict, ExitCode, NeedsPerson
from node.ledger.balance import Balance
from node.observability import configure_logging
from node.projection.effects import EFFECTS, SendParcel, SubmitMessage
from node.runtime.backoff import Backoff
from node.runtime.executor import Executor, ExecutorOptions, Handlers
from node.runtime.outbound import Outbound
from node.runtime.scheduler import Scheduler
from node.runtime.supervisor import Lifecycle, Service, Supervisor
from node.web import page_routes

__all__ = ["run_node"]

_log = structlog.get_logger(__name__)

COPY_S = 1.0
"""Seconds between two looks for what the second stores lack, when nothing woke the loop."""


@dataclass(frozen=True, slots=True)
class Roles:
    """What this node does; None for a role that it lacks. Every node can read streams."""

    provider: ProviderRole
    home: HomeRole | None
    gateway: GatewayRole | None
    heirs: Heirs | None


def run_node(config: LoadedConfig, without_history: bool) -> None:
    """Runs until a signal or a fatal error; raises the fatal error for the command line to show."""
    settings = config.settings
    configure_logging(settings.log.level, settings.log.format)
    keep_what_is_there()
    hand_over_soon()
    supervisor = Supervisor(SystemClock())
    try:
        code = asyncio.run(_serve(settings, without_history, supervisor))
    except StoreKeyWrong as wrong:
        raise NeedsPerson(
            f"{wrong}.", remedy="channels.db belongs to another identity: restore the right one."
        ) from wrong
    except StoreError as error:
        raise NeedsPerson(f"{error}.", remedy="Check the data folder, or restore the newest backup.") from error
    if code is not ExitCode.OK and supervisor.fatal is not None:
        raise supervisor.fatal


async def _serve(settings: Settings, without_history: bool, supervisor: Supervisor) -> ExitCode:
    passphrase = keystore_passphrase(settings)
    if passphrase is None:
        raise ConfigError(
            "The keystore's passphrase is needed.", remedy="Set node.passphrase_file, or WATTPACT_NODE_PASSPHRASE."
        )
    folder = DataDir.of(settings)
    clock = SystemClock()
    with _locked(folder):
        keystore, identity = open_identity(folder, passphrase)
        async with open_core(settings, keystore, identity, clock) as core:
            node = _Node(core, folder, without_history)
            code = await supervisor.run(node.services())
            if code is ExitCode.OK:
                # A writer that was told of another one, or of an old backup, has nothing left to say.
                await node.close()
            return code


@contextmanager
def _locked(folder: DataDir) -> Iterator[None]:
    """One node per data folder. Raises AnotherRuns (exit 7)."""
    lock = FolderLock(folder.root)
    try:
        lock.__enter__()
    except FolderLocked as taken:
        raise AnotherRuns(f"{taken}.", remedy="Stop that node first, or use another data folder.") from taken
    try:
        yield
    finally:
        lock.__exit__(None, None, None)


class AnotherRuns(Conflict):
    """A node runs on this data folder already."""


class _Node:
    """Wires one node from its parts."""

    def __init__(self, core: Core, folder: DataDir, without_history: bool) -> None:
        self._core = core
        self._folder = folder
        self._feed = ChainFeed(core)
        self._low = False
        core.chain.balance.listener = self._balance_told
        self._post = Post(core)
        self._inbox = Inbox(core)
        self._mailbox = Mailbox(core, self._from_mail)
        core.mail = self._mailbox
        self._handlers = Handlers()
        self._tokens = Tokens(StoredTokens(core.storage.database, core.clock), core.clock)
        self._mover: Mover | None = None
        self._rotator: Rotator | None = None
        self._giver: StreamGiver | None = None
        self._meeting: MeetingPoint | None = None
        self._roles = self._make_roles(without_history)
        self._retention = self._make_retention()
        self._eraser = Eraser(core, self._roles.provider)
        self._eraser.register(self._inbox)
        self._pasts = PastKeeper(core, self._post, self._roles.home, self._roles.provider)
        self._pasts.register(self._inbox)
        self._settling = make_settling(core, self._post, self._inbox, self._roles.home, self._roles.gateway)
        self._pairing = self._make_pairing()
        self._server: ApiServer | None = None
        ground, chosen = Ground(core.storage.database, core.storage.journal, core.clock), core.settings.webhooks
        self._events = FeedPart(core.storage.feed, ground, chosen.keep_days)
        sealing = core.keys.identity.secret("webhooks")
        allowed = [str(url) for url in chosen.allow]
        self._webhooks = WebhookPart(core.storage.feed, ground, sealing, allowed)
        self._domains = DomainWatch(core, Outbound(allowed)) if self._roles.home is not None else None

    def _make_roles(self, without_history: bool) -> Roles:
        core, chosen = self._core, self._core.settings.node.roles
        submissions = Submissions(core)
        provider = ProviderRole(core)
        provider.register(self._handlers, self._inbox)
        home = gateway = heirs = None
        if "home" in chosen:
            home = HomeRole(core, self._post, submissions)
            home.register(self._handlers, self._inbox)
            KeyCourier(core, self._post, home).register(self._handlers, self._inbox)
            register_resyncs(self._inbox, home)
        else:
            self._handlers.on(SubmitMessage, submissions.submit)
        if "gateway" in chosen:
            high_water = HighWater(self._folder.high_water, start_without=without_history)
            gateway = GatewayRole(core, self._feed, self._post, high_water)
            gateway.register(self._handlers, self._inbox)
            heirs = Heirs(core, gateway)
            heirs.register(self._inbox)
            Takeover(core, self._post, gateway, heirs).register(self._inbox)
            UndoneGrants(core, gateway).register(self._handlers)
        self._handlers.on(SendParcel, self._post.carry_out)
        return Roles(provider, home, gateway, heirs)

    def _make_pairing(self) -> PairingPart:
        home, gateway = self._roles.home, self._roles.gateway
        as_gateway = GatewayPairing(self._core) if gateway is not None else None
        if as_gateway is not None:
            as_gateway.register(self._handlers)
        as_home = HomePairing(self._core, home) if home is not None else None
        if home is not None and as_home is not None:
            self._mover = Mover(self._core, self._post, home, as_home)
            self._mover.register(self._inbox)
            self._rotator = Rotator(self._core, home, self._mover)
            self._giver = StreamGiver(self._core, self._post, home, block_time(self._core))
            self._giver.register(self._inbox)
        self._meeting = MeetingPoint(self._core, as_gateway) if as_gateway is not None else None
        return PairingPart(home, as_home, as_gateway, self._mover, self._rotator, self._giver)

    def services(self) -> Sequence[Service]:
        """In the order of their start: what others rely on comes first."""
        core, roles = self._core, self._roles
        core.storage.journal.want(self._handlers.wanted())
        self._handlers.ignore(*EFFECTS)
        options = ExecutorOptions(parallel=64, poll=1.0, backoff=Backoff(0.5, 30.0))
        executor = Executor(core.storage.outbox, core.storage.journal, self._handlers, core.clock, options)
        scheduler = Scheduler(core.storage.timers, core.storage.journal, core.clock, self._horizon)
        services = [
            *self._own_broker(),
            Service("api", self._serve_api, needed=True),
            Service("outbox", executor.run),
            Service("sender", self._send),
            *(Service("batches", self._ran(each.run)) for each in core.chain.batches),
            Service("heads", self._ran(core.chain.heads.run)),
            Service("balance", self._ran(core.chain.balance.run)),
            self._feed.service(),
            Service("timers", scheduler.run),
            self._events.service(),
            self._webhooks.service(),
            self._retention.service(),
            self._eraser.service(),
            self._pasts.service(),
            self._inbox.service(self._horizon),
            self._mailbox.service(),
            Service("replicas", looped(core.new_wake(), self._copy, COPY_S)),
        ]
        if core.settings.node.outbound_only:
            services.append(CardShown(core).service())
        if self._domains is not None:
            services.append(self._domains.service())
        if self._giver is not None:
            services.append(self._giver.service())
        if roles.gateway is not None and roles.heirs is not None:
            services += roles.gateway.services()
            services.append(Intake(core, self._feed, roles.gateway, self._settling.shown).service())
            services.append(AnswerDesk(core, roles.gateway, roles.heirs, ResyncPost(core, self._post)).service())
            services.append(OwnTopics(core, roles.gateway).service())
            services.append(self._past_eraser(roles.gateway, roles.heirs).service())
            services.append(TransferWatch(core, roles.gateway, block_time(core)).service())
        if self._meeting is not None and core.settings.node.outbound_only:
            services.append(self._meeting.service())
        if self._rotator is not None:
            services.append(Service("rotator", looped(core.new_wake(), self._rotator.step, COPY_S)))
        if self._mover is not None:
            services.append(Service("mover", looped(core.new_wake(), self._mover.step, COPY_S)))
        services.append(roles.provider.service())
        return [*services, *self._settling.services()]

    def _past_eraser(self, gateway: GatewayRole, heirs: Heirs) -> PastEraser:
        eraser = PastEraser(self._core, self._post, gateway, heirs)
        eraser.register(self._inbox)
        return eraser

    def _make_retention(self) -> Retention:
        core, reading = self._core, self._roles.provider.reading
        return Retention(
            core.storage.channels,
            core.settings.retention,
            core.clock,
            core.metrics,
            lambda: [Opened(r.sid, r.grant_id, r.category, r.membership.forget) for r in reading.values()],
            self._horizon,
        )

    def _own_broker(self) -> list[Service]:
        """The embedded broker, where the config asks for one; everything else waits until it listens."""
        if not self._core.settings.broker.embedded:
            return []
        broker = OwnBroker(self._core.settings, self._core.clock)

        async def run(life: Lifecycle) -> None:
            await broker.start()
            life.ready()
            try:
                await life.stop.wait()
            finally:
                await broker.stop()

        return [Service("broker", run, needed=True)]

    async def _copy(self) -> bool:
        """What the second stores lack goes there; they lag by a moment, which no revocation has to wait for."""
        gateway, storage = self._roles.gateway, self._core.storage
        await storage.replicas.update(storage.memory.log, tuple(gateway.writing) if gateway is not None else ())
        return False

    def _horizon(self) -> int | None:
        """A clock that runs ahead ends no consent: nothing is due later than the chain's time plus the allowed skew."""
        _, block_time = self._feed.block
        return block_time + self._core.settings.chain.max_skew_s if block_time else 0

    def _balance_told(self, balance: Balance) -> None:
        metrics = self._core.metrics
        metrics.sender_balance.set(balance.wei / 10**18)
        if balance.transactions_left is not None:
            metrics.sender_left.set(balance.transactions_left)
        if balance.low and not self._low:
            metrics.alarm("unfunded")
        self._low = balance.low

    @staticmethod
    def _ran(work: Callable[[], Coroutine[None, None, None]]) -> Callable[[Lifecycle], Coroutine[None, None, None]]:
        async def run(life: Lifecycle) -> None:
            await until_stopped(life, work())

        return run

    async def _from_mail(self, parcel: bytes) -> None:
        await self._inbox.take(parcel, "mailbox")

    async def _send(self, life: Lifecycle) -> None:
        await until_stopped(life, self._core.chain.sender.run())

    async def _serve_api(self, life: Lifecycle) -> None:
        core = self._core
        feed = FeedParts(self._events, self._webhooks)
        settlement = self._settling.facade(self._roles.provider)
        hosts = (urlsplit(core.public_url).netloc,)
        parts = ApiParts(core.clock, core.metrics, feed=feed, settlement=settlement, pages=page_routes(), hosts=hosts)
        app = create_api(self._facade(), core.settings.api, self._tokens, parts)
        server = ApiServer(app, core.settings.api, core.metrics)
        await server.start()
        token = self._tokens.issue_local()
        write_access(self._folder.root, LocalAccess(server.url, token, core.settings.api.tls_cert))
        _log.info("listening", url=server.url, roles=core.settings.node.roles)
        unnamed = unnamed_proxy(core.settings.api)
        if unnamed and "gateway" in core.settings.node.roles:
            _log.warning("proxy_not_named", reason=unnamed, remedy="name every proxy before it in api.trusted_proxies")
        life.ready()
        try:
            await life.stop.wait()
        finally:
            remove_access(self._folder.root)
            await server.close()

    def _facade(self) -> NodeFacadeOfApp:
        core, roles = self._core, self._roles
        asked = roles.provider if "provider" in core.settings.node.roles else None
        return NodeFacadeOfApp(
            Health(
                core,
                self._feed,
                self._pairing,
                self._retention,
                roles.gateway,
                roles.provider,
                self._settling.energy.waiting,
            ),
            Streams(core, roles.gateway, roles.home, roles.provider, self._pasts),
            Consents(core, roles.home, asked, KeyRefresher(core, self._post, roles.provider), self._eraser),
            self._pairing,
            LedgerPart(core),
            self._inbox,
            OwnCard(core),
        )

    async def close(self) -> None:
        """After every service has ended: the last checkpoints."""
        await self._webhooks.close()
        if self._domains is not None:
            await self._domains.close()
        if self._roles.gateway is not None:
            await self._roles.gateway.shutdown()
        await self._copy()
