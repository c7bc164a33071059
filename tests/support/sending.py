"""A sender on a real chain behind a proxy that can fail, with a clock that is moved by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from node.clock import ManualClock
from node.ledger.endpoint import Pace
from node.ledger.finality import Finality
from node.ledger.memory import MemoryTransactions
from node.ledger.reverts import Reason
from node.ledger.rpc import Rpc, RpcOptions
from node.ledger.sender import Sender, SenderOptions
from node.ledger.transaction import Call, Transaction, TxState
from node.runtime.devnet.anvil import AnvilOptions
from tests.support.anvil import Anvil, anvil
from tests.support.processes import PATIENCE
from tests.support.rpc_proxy import RpcProxy, rpc_proxy

__all__ = ["SELECTOR", "TOPIC", "World", "decoder", "key", "known", "outcome", "settle", "state", "world"]

TOPIC = b"\x01" * 32
SELECTOR = b"\xaa\xbb\xcc\xdd"


def key(name: str) -> bytes:
    return name.encode().rjust(32, b"\0")


def decoder(data: bytes) -> Reason | None:
    return Reason("NoSuchThing", (("id", "7"),), "There is no such thing.") if data[:4] == SELECTOR else None


@dataclass
class World:
    chain: Anvil
    proxy: RpcProxy
    rpc: Rpc
    emitter: bytes
    clock: ManualClock
    store: MemoryTransactions
    options: SenderOptions

    def sender(self, account: int = 0, **changes: Any) -> Sender:
        options = replace(self.options, **changes)
        return Sender(self.rpc, self.chain.signers[account], self.store, self.clock, decoder, options)

    def call(self, word: bytes = b"") -> Call:
        return Call(self.emitter, TOPIC + word)

    def refusal(self) -> Call:
        return Call(self.emitter, SELECTOR)

    async def words(self) -> list[bytes]:
        head = await self.chain.head()
        return [log.data for log in await self.chain.rpc.logs([self.emitter], 0, head.number)]

    async def nonce(self, account: int = 0) -> int:
        return await self.chain.rpc.nonce(self.chain.signers[account].address)


@asynccontextmanager
async def world(tmp_path: Path, options: AnvilOptions | None = None) -> AsyncIterator[World]:
    """Blocks come only when told, unless ``options`` of anvil say otherwise."""
    clock = ManualClock()
    async with anvil(options=options) as chain, rpc_proxy(chain.url) as proxy:
        emitter = await chain.deploy()
        # A minute for an answer: a busy machine is no fault of the endpoint.
        patient = RpcOptions(pace=Pace(timeout=60.0, pause=0.0, longest_pause=0.0), attempts=1)
        async with Rpc([proxy.url], chain.chain_id, clock, patient) as rpc:
            chosen = SenderOptions(tmp_path, Finality(1), idle_pause=0.0)
            yield World(chain, proxy, rpc, emitter, clock, MemoryTransactions(), chosen)


async def outcome(sender: Sender, name: str) -> Transaction:
    """Wait for the end, which must have come already."""
    async with asyncio.timeout(PATIENCE):
        return await sender.wait(key(name))


async def state(sender: Sender, name: str) -> TxState:
    found = await sender.find(key(name))
    assert found is not None
    return found.state


async def settle(w: World, sender: Sender, blocks: int = 3) -> None:
    """Passes and blocks in turn, with enough time in between for a rebroadcast."""
    for _ in range(blocks):
        await sender.step()
        await w.chain.mine()
        w.clock.advance(w.options.rebroadcast_after)
    await sender.step()


def known(w: World, number: int) -> Call:
    """A call whose gas needs no estimate."""
    return replace(w.call(b"%d" % number), known_gas=60_000)
