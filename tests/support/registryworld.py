"""The real registry on a chain whose blocks come when told, with a sender, a relay and an indexer on it."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path

from keys import messages as m
from keys.ids import name_hash, stream_id
from keys.signers import LocalSigner
from node.clock import SystemClock
from node.ledger.budget import DailyBudget
from node.ledger.finality import Finality
from node.ledger.indexer import Indexer, IndexerOptions
from node.ledger.logs import Watched
from node.ledger.memory import MemoryTransactions
from node.ledger.registry import RegistryDecoder, registry_reason
from node.ledger.relay import Relay
from node.ledger.sender import Sender, SenderOptions
from node.ledger.views import RegistryViews
from node.projection.events import ChainEvent
from node.runtime.devnet.anvil import AnvilOptions
from node.runtime.devnet.devnet import Devnet, DevnetOptions

__all__ = ["SALT", "ZERO", "World", "same", "world"]

SALT = b"\x5a" * 32
ZERO = bytes(32)
_nonces = itertools.count(1)


@dataclass
class World:
    devnet: Devnet
    views: RegistryViews
    sender: Sender
    relay: Relay
    indexer: Indexer[ChainEvent]
    now: int
    owner: LocalSigner = field(default_factory=LocalSigner.generate)
    writer: LocalSigner = field(default_factory=LocalSigner.generate)
    reader: LocalSigner = field(default_factory=LocalSigner.generate)
    device: LocalSigner = field(default_factory=LocalSigner.generate)

    @property
    def domain(self) -> m.Domain:
        return self.relay.domain

    @property
    def deadline(self) -> int:
        return self.now + 86_400

    def stream(self, name: str = "power") -> m.RegisterStream:
        return m.RegisterStream(
            self.owner.address,
            name_hash(SALT, name),
            self.writer.address,
            b"\x11" * 32,
            self.now - 1_000,
            10,
            self.nonce(),
            self.deadline,
        )

    def sid(self, message: m.RegisterStream) -> bytes:
        return stream_id(self.domain.chain_id, self.views.address, message.owner, message.name_hash)

    def grant(self, *sids: bytes) -> m.Grant:
        return m.Grant(
            self.owner.address,
            self.reader.address,
            b"\x22" * 32,
            sids,
            self.now,
            m.OPEN_END,
            7,
            b"\x33" * 32,
            self.nonce(),
            self.deadline,
        )

    def nonce(self) -> int:
        """One that no message had."""
        return next(_nonces)

    async def sign(self, message: m.Message, *signers: LocalSigner) -> list[bytes]:
        return [await signer.sign_message(message, self.domain) for signer in signers]

    async def put(self, message: m.Message, *signers: LocalSigner, opening: tuple[bytes, ...] = ()) -> bytes:
        """Relay, mine, and return the digest."""
        relayed = await self.relay.relay(message, await self.sign(message, *signers), opening)
        await self.settle()
        return relayed.digest

    async def settle(self) -> None:
        await self.sender.step()
        await self.devnet.mine()
        await self.sender.step()

    async def events(self) -> list[ChainEvent]:
        batch = await self.indexer.step()
        return [] if batch is None else list(batch.events)


@asynccontextmanager
async def world(tmp_path: Path, *, budget: DailyBudget | None = None) -> AsyncIterator[World]:
    clock = SystemClock()
    payer = LocalSigner.generate()
    options = DevnetOptions(AnvilOptions(block_time=0), fund=[payer.address])
    async with Devnet(options, clock) as devnet:
        rpc, registry = devnet.rpc, devnet.registry
        views = RegistryViews(rpc, registry.address, devnet.chain_id, registry.block)
        sender_options = SenderOptions(tmp_path, Finality(1), idle_pause=0.0)
        indexer: Indexer[ChainEvent] = Indexer(
            rpc, Watched((registry.address,), registry.block), RegistryDecoder(), Finality(1), clock, IndexerOptions()
        )
        now = (await rpc.head()).timestamp
        async with Sender(rpc, payer, MemoryTransactions(), clock, registry_reason, sender_options) as sender:
            yield World(devnet, views, sender, Relay(rpc, sender, views, budget), indexer, now)


def same(event: ChainEvent, kind: type[ChainEvent], **values: object) -> None:
    """Assert that an event is of this kind and says just this, in whatever block."""
    assert type(event) is kind
    found = {f.name: getattr(event, f.name) for f in fields(event) if f.name != "block"}
    assert found == values
