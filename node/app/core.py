"""The parts that every role stands on, opened in order and closed in reverse."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

import aiohttp

from channels.stores.sealed import KeyVault
from channels.stores.sql import SqlStore
from channels.stores.vault import KeystoreVault
from channels.transports.base import Transport
from keys.identity import Identity
from keys.keystore import Keystore
from keys.messages import Domain, registry_domain
from keys.sealing import SealingKey
from keys.signers import LocalSigner
from node.app.datadir import DataDir
from node.app.memory import Memory
from node.app.replicas import Replicas
from node.app.spelling import canonical, peer_of
from node.app.transport import open_transport
from node.app.wakes import Wakes
from node.clock import Clock
from node.config import Settings
from node.config.settlement import SettlementSettings
from node.ledger.allowances import AllowanceViews, allowances_face
from node.ledger.balance import BalanceLimits, BalanceWatch
from node.ledger.batches import Batches, BatchFace, BatchOptions
from node.ledger.budget import DailyBudget
from node.ledger.energy import EnergyViews, energy_batch, energy_face, energy_lane, energy_rejections
from node.ledger.faces import Decoders, Face, Faces
from node.ledger.fees import FeePolicy
from node.ledger.finality import Finality
from node.ledger.heads import HeadSubscription, http_urls, socket_urls
from node.ledger.indexer import Indexer, IndexerOptions
from node.ledger.logs import Watched
from node.ledger.market import MarketViews, market_batch, market_face, market_rejections
from node.ledger.netting import NetViews, net_face
from node.ledger.registry import RegistryDecoder, registry_batch, registry_reason, rejections
from node.ledger.relay import Relay
from node.ledger.reverts import ErrorDecoder
from node.ledger.rpc import Rpc, RpcOptions
from node.ledger.sender import Sender, SenderOptions
from node.ledger.stored import StoredTransactions
from node.ledger.views import RegistryViews
from node.observability import Metrics
from node.projection.base import Peer, State
from node.projection.events import ChainEvent
from node.storage.chain import ChainStore
from node.storage.database import Database
from node.storage.feed import Feed
from node.storage.journal import Applied, Journal
from node.storage.outbox import Outbox
from node.storage.timers import Timers
from node.storage.transactions import TransactionRows
from node.storage.views import Views
from node.wire.consents import PartyCard

__all__ = [
    "Carrier",
    "Chain",
    "Core",
    "Keys",
    "Storage",
    "canonical",
    "open_chain",
    "open_core",
    "open_storage",
    "peer_of",
]

GWEI = 10**9


@dataclass(frozen=True, slots=True)
class Keys:
    """Everything secret, and the addresses that follow from it."""

    keystore: Keystore
    identity: Identity
    sealing: SealingKey


@dataclass(frozen=True, slots=True)
class Storage:
    """The node's database by purpose, the channel store, and what the node remembers beyond the chain."""

    database: Database
    journal: Journal
    views: Views
    outbox: Outbox
    timers: Timers
    chain: ChainStore
    channels: SqlStore
    memory: Memory
    replicas: Replicas
    feed: Feed


@dataclass(slots=True)
class Chain:
    """The ledger client; the daemon runs `batches`, `heads` and `balance`.

    `final` is the newest height whose events acted as final; -1 before the first.
    """

    rpc: Rpc
    views: RegistryViews
    indexer: Indexer[ChainEvent]
    sender: Sender
    relay: Relay
    batches: tuple[Batches, ...]
    heads: HeadSubscription
    balance: BalanceWatch
    domain: Domain
    finality: Finality
    energy: EnergyViews | None = None
    market: MarketViews | None = None
    funding: AllowanceViews | None = None
    netting: NetViews | None = None
    final: int = -1


class Carrier(Protocol):
    """Brings parcels to nodes that have no address (node/app/mail.py)."""

    @property
    def reads(self) -> bool | None:
        """Whether this node hears what is sent to it that way; None where it need not."""
        ...

    async def call(self, peer: Peer, about: bytes, make: Callable[[], Awaitable[bytes]]) -> tuple[int, bytes]:
        """Status and text of the answer to the parcel that `make` gives. Raises NodeUnreachable."""
        ...


@dataclass(slots=True)
class Core:
    """What roles share. `changed` is set whenever the journal moved or a block came: loops that compare wake on it."""

    settings: Settings
    clock: Clock
    metrics: Metrics
    keys: Keys
    storage: Storage
    chain: Chain
    transport: Transport
    http: aiohttp.ClientSession
    started_at: int
    mail: Carrier | None = None
    wakes: Wakes = field(default_factory=Wakes)

    @property
    def registry(self) -> bytes:
        return bytes(self.settings.chain.registry)

    def wake(self) -> None:
        """Something changed: every loop looks again, soon if not at once."""
        self.wakes.tell()

    def new_wake(self) -> asyncio.Event:
        """An event of one's own that every change sets."""
        return self.wakes.new()

    def wake_for(self, *states: type[State]) -> asyncio.Event:
        """An event of one's own that is set when the journal changes a state of these kinds, and by nothing else."""
        wakes = Wakes()

        def heard(applied: Applied) -> None:
            if any(isinstance(change.state, states) for record in applied.records for change in record.changes):
                wakes.tell()

        self.storage.journal.subscribe(heard)
        return wakes.new()

    @property
    def public_url(self) -> str:
        """Where other nodes reach this one; empty where they do not: then its mailbox at the broker is the way."""
        if self.settings.node.outbound_only:
            return ""
        node, api = self.settings.node, self.settings.api
        return str(node.public_url or f"http://{api.listen}").rstrip("/")

    @property
    def card(self) -> PartyCard:
        """How this node shows itself to others."""
        node = self.settings.node
        return PartyCard(
            name=node.name,
            domain=node.domain or "",
            contact=node.contact or "",
            policy_url=str(node.policy_url or ""),
            address=self.signer.address,
            sealing_key=self.keys.sealing.public_bytes,
            inbox_url=self.public_url,
        )

    @property
    def signer(self) -> LocalSigner:
        """Signs this node's parcels: the wallet, or the device on a pure gateway."""
        identity = self.keys.identity
        return identity.device() if self.settings.node.roles == ("gateway",) else identity.wallet()


@asynccontextmanager
async def open_core(settings: Settings, keystore: Keystore, identity: Identity, clock: Clock) -> AsyncIterator[Core]:
    """Opens database, stores, chain client and transport; closes them in reverse whatever happens."""
    async with AsyncExitStack() as stack:
        folder = DataDir.of(settings)
        folder.locks.mkdir(mode=0o700, parents=True, exist_ok=True)
        metrics = Metrics()
        storage = await open_storage(stack, settings, folder, identity, clock, KeystoreVault(keystore))
        chain = await open_chain(stack, settings, folder, identity, storage, clock)
        http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=15), trust_env=False)
        stack.push_async_callback(http.close)
        transport = open_transport(settings, identity)
        await transport.start()
        stack.push_async_callback(transport.stop)
        sealing = identity.sealing_key("inbox")
        keys = Keys(keystore, identity, sealing)
        yield Core(settings, clock, metrics, keys, storage, chain, transport, http, clock.now())


async def open_storage(
    stack: AsyncExitStack,
    settings: Settings,
    folder: DataDir,
    identity: Identity,
    clock: Clock,
    vault: KeyVault | None = None,
) -> Storage:
    """`vault` holds the keys of single readers; a node that opens its storage without it sees none of their data."""
    database = await Database.open(settings.database_url)
    stack.push_async_callback(database.close)
    journal = Journal(database, clock)
    stack.push_async_callback(journal.close)
    channels = await SqlStore.open(folder.channels_url, identity.secret("channel-store"), vault)
    stack.push_async_callback(channels.close)
    replicas = await Replicas.open(settings, folder.channels_url, channels, identity.secret("channel-store"))
    stack.push_async_callback(replicas.close)
    key = identity.secret("private-log")
    await replicas.recover_log(key)
    memory = await Memory.open(channels, key, journal, database)
    stack.push_async_callback(memory.close)
    return Storage(
        database,
        journal,
        Views(database),
        Outbox(database, "node"),
        Timers(database),
        ChainStore(database),
        channels,
        memory,
        replicas,
        await Feed.open(database),
    )


async def open_chain(
    stack: AsyncExitStack, settings: Settings, folder: DataDir, identity: Identity, storage: Storage, clock: Clock
) -> Chain:
    chosen = settings.chain
    limits = RpcOptions(max_head_age=chosen.max_chain_silence_s)
    urls = [str(url) for url in chosen.rpc_urls]
    rpc = Rpc(http_urls(urls), chosen.chain_id, clock, limits)
    stack.push_async_callback(rpc.close)
    registry = bytes(chosen.registry)
    settled = settings.settlement
    energy, market, funding = settled.energy_token, settled.market, settled.allowances
    faces = Faces(_faces(chosen.chain_id, settled))
    finality = Finality(depth=chosen.finality)
    views = RegistryViews(rpc, registry, chosen.chain_id, chosen.deploy_block)
    indexer: Indexer[ChainEvent] = Indexer(
        rpc,
        Watched((registry, *(face.address for face in faces.all)), chosen.deploy_block),
        Decoders([(registry, RegistryDecoder()), *((face.address, face.decoder) for face in faces.all)]),
        finality,
        clock,
        IndexerOptions(poll=chosen.poll_interval_s),
    )
    fees = FeePolicy(chosen.max_fee_gwei * GWEI, chosen.max_priority_fee_gwei * GWEI)
    options = SenderOptions(folder.locks, finality, fees)
    transactions = StoredTransactions(TransactionRows(storage.database))
    sender = Sender(rpc, identity.sender(), transactions, clock, _first_of(registry_reason, faces.reason), options)
    await stack.enter_async_context(sender)

    def new_head() -> None:
        indexer.look_now()
        sender.wake()

    return Chain(
        rpc,
        views,
        indexer,
        sender,
        Relay(rpc, sender, views, DailyBudget(clock, chosen.relay_per_signer_day, _with_a_token), faces),
        tuple(Batches(rpc, sender, face, clock, how) for face, how in _batching(registry, settled, faces.reason)),
        HeadSubscription(socket_urls(urls), new_head),
        BalanceWatch(rpc, sender.address, fees, BalanceLimits(chosen.low_balance_wei, chosen.low_balance_transactions)),
        registry_domain(chosen.chain_id, registry),
        finality,
        EnergyViews(rpc, bytes(energy)) if energy else None,
        MarketViews(rpc, bytes(market)) if market else None,
        AllowanceViews(rpc, bytes(funding)) if funding else None,
        NetViews(rpc, bytes(settled.net_settlement)) if settled.net_settlement else None,
    )


def _batching(
    registry: bytes, settled: SettlementSettings, reason: ErrorDecoder
) -> Iterator[tuple[BatchFace, BatchOptions]]:
    yield (
        BatchFace(lambda calls: registry_batch(registry, calls), rejections, registry_reason, registry),
        BatchOptions(),
    )
    if settled.energy_token:
        token = bytes(settled.energy_token)
        minting = BatchFace(lambda calls: energy_batch(token, calls), energy_rejections, reason, token, energy_lane)
        yield minting, BatchOptions()
    if settled.market:
        venue = bytes(settled.market)
        # Whoever says something about a contract has seen it on chain: what is refused waits for nothing.
        words = BatchFace(lambda calls: market_batch(venue, calls), market_rejections, reason, venue)
        yield words, BatchOptions(tries=1)


def _faces(chain_id: int, settled: SettlementSettings) -> Iterator[Face]:
    if settled.energy_token:
        yield energy_face(chain_id, bytes(settled.energy_token))
    if settled.market:
        yield market_face(chain_id, bytes(settled.market))
    if settled.allowances:
        yield allowances_face(chain_id, bytes(settled.allowances))
    if settled.net_settlement:
        yield net_face(chain_id, bytes(settled.net_settlement))


async def _with_a_token(_signer: bytes) -> bool:
    """Who calls the relay has a token of this node; whose messages they bring is theirs to say."""
    return True


def _first_of(*decoders: ErrorDecoder) -> ErrorDecoder:
    """Whichever contract declares the error says what it means."""
    return lambda data: next((found for decode in decoders if (found := decode(data)) is not None), None)
