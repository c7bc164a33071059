"""A gateway and its household that erase a stream's past: real stores, keystores and parcels, and one broker of this
process. The chain's word is told, not asked for: every commit that a writer has signed counts as included.

python -m tests.support.pastworld <folder> <step>   goes on with an erasure and is killed after the named step
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import aiohttp

from channels.highwater import HighWater
from channels.readings import Measurement, encode_batch
from channels.stores.records import PendingReading
from channels.stores.vault import KeystoreVault
from channels.transports.inprocess import Hub, InProcessTransport
from keys.identity import Identity
from keys.keystore import Keystore
from keys.parcel import pack
from keys.stream_key import StreamKey
from node.app.chainfeed import ChainFeed
from node.app.core import Core, Keys, open_chain, open_storage
from node.app.datadir import DataDir
from node.app.inbox import Inbox
from node.app.parcels import Post
from node.app.streams import masterkeys
from node.app.streams.gateway import GatewayRole
from node.app.streams.heirs import Heirs
from node.app.streams.opening import Writing
from node.app.streams.pasterasing import BOUND, RECEIPT, PastEraser
from node.app.streams.transferring import TransferWatch
from node.clock import ManualClock
from node.config import Settings
from node.observability import Metrics
from node.projection import events as e
from node.projection.base import Block, Event, Peer
from node.projection.stream import Stream
from tests.unit.keys.builders import CHEAP
from tests.unit.node.projection.kit import block, h32

__all__ = ["CATEGORY", "GENESIS", "SLOT", "STEPS", "Gateway", "open_core_of", "owner_identity"]

GENESIS, SLOT = 1_790_000_000, 60
CATEGORY = "electricity/15min"
STEPS = ("bound", "commit", "masters", "destroyed", "store", "scrub", "replica", "broker", "receipt")
PAIRING = h32("d")


def owner_identity() -> Identity:
    """The household's."""
    return Identity(bytes([1]) * 64)


async def open_core_of(
    stack: AsyncExitStack,
    place: Path,
    number: int,
    role: str,
    clock: ManualClock,
    hub: Hub,
    name: str = "",
    signed: tuple[str, ...] = (),
    energy_token: str | None = None,
) -> Core:
    """A node of one role in a folder of its own, as it starts; its chain cannot be reached. `signed`: streams of which
    each envelope is; `energy_token`: address of the token that it follows."""
    settings = Settings.model_validate(
        {
            "node": {"data_dir": place, "roles": (role,), "name": role, "public_url": f"http://{role}.example"},
            "chain": {"rpc_urls": ("http://127.0.0.1:1",), "chain_id": 31337, "registry": "0x" + "12" * 20},
            "streams": {"names": (CATEGORY,), "slot_seconds": SLOT, "genesis": GENESIS, "signed_envelopes": signed},
            "settlement": {"energy_token": energy_token},
        }
    )
    data = DataDir.of(settings)
    data.locks.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = not data.keystore.exists()
    keystore = Keystore.create(data.keystore, "x", CHEAP) if fresh else Keystore.open(data.keystore, "x")
    identity = Identity(bytes([number]) * 64)
    storage = await open_storage(stack, settings, data, identity, clock, KeystoreVault(keystore))
    chain = await open_chain(stack, settings, data, identity, storage, clock)
    http = aiohttp.ClientSession()
    stack.push_async_callback(http.close)
    transport = InProcessTransport(hub, name or role)
    await transport.start()
    stack.push_async_callback(transport.stop)
    keys = Keys(keystore, identity, identity.sealing_key("inbox"))
    return Core(settings, clock, Metrics(), keys, storage, chain, transport, http, clock.now())


class Delivered(Post):
    """Parcels go straight into the other node's inbox, sealed and signed as ever; `to` by the peer's address."""

    def __init__(self, core: Core) -> None:
        super().__init__(core)
        self.to: dict[bytes, Inbox] = {}
        self.sent: list[tuple[str, Mapping[str, Any]]] = []
        self._own = core

    async def send(
        self, peer: Peer, kind: str, body: Mapping[str, Any], lifetime: int = 600, *, standing: bool = False
    ) -> None:
        """See Post.send."""
        chain_id, now = self._own.settings.chain.chain_id, self._own.clock.now()
        data = await pack(self._own.signer, peer.sealing_key, kind, body, chain_id=chain_id, now=now, lifetime=lifetime)
        await self.to[peer.address].take(data, "127.0.0.1")
        self.sent.append((kind, body))


class Gateway:
    """The gateway's roles; `round` is what its services do, once."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.post = Delivered(core)
        self.inbox = Inbox(core)
        self._feed = SimpleNamespace(block=(1, core.clock.now()), caught_up=True)
        high_water = HighWater(DataDir.of(core.settings).high_water)
        self.role = GatewayRole(core, cast(ChainFeed, self._feed), self.post, high_water)
        self.role._published = core.new_wake()
        self.heirs = Heirs(core, self.role)
        self.heirs.register(self.inbox)
        self.eraser = PastEraser(core, self.post, self.role, self.heirs)
        self.times: dict[int, int] = {}  # of blocks, as the chain would say
        self.transfers = TransferWatch(core, self.role, self._time_of)
        self.inbox.on("stream.owner_key", self.role._take_owner_key)
        self.inbox.on("consent.revoked", self.role._take_revocation)
        self.eraser.register(self.inbox)

    @property
    def writing(self) -> Writing:
        """The one stream that it writes."""
        return next(iter(self.role.writing.values()))

    async def registered(self) -> list[Event]:
        """Works out its stream; what the chain says once it is registered."""
        await self.role.load()
        spec = self.role.specs[0]
        key: StreamKey = spec.stream_key
        slots = (spec.params.genesis, spec.params.slot_seconds)
        told = e.LoggedStreamRegistered(
            block(2), spec.sid, spec.owner, spec.writer.address, spec.name_hash, key.key_hash(), *slots
        )
        return [told, e.LoggedFinalized(2, self.core.clock.now())]

    async def round(self) -> list[Event]:
        """One look of every service; returns what the chain has included of it."""
        self._feed.block = (self._feed.block[0] + 1, self.core.clock.now())
        await self.role._step()
        for writing in self.role.writing.values():
            writing.compared.set()
        included = await self._include()
        await self.transfers.step()
        await self.eraser.step()
        await self.role._publish()
        storage = self.core.storage
        await storage.replicas.update(storage.memory.log, tuple(self.role.writing))
        return included

    async def _time_of(self, at: Block) -> int | None:
        return self.times.get(at.number)

    async def _include(self) -> list[Event]:
        told: list[Event] = []
        for sid in self.role.writing:
            known = (await self.core.storage.views.one(Stream, sid)).epoch
            for stored in await self.core.storage.channels.commits(sid, known + 1):
                told.append(e.LoggedCommitted(block(100 + stored.epoch), sid, stored.epoch, stored.hash))
        await self.core.storage.journal.apply(told)
        return told

    async def rounds(self, until: Callable[[], bool], most: int = 20) -> list[Event]:
        """As many as it takes. Raises AssertionError when that is too many."""
        told: list[Event] = []
        for _ in range(most):
            told += await self.round()
            if until():
                return told
        raise AssertionError("it does not come to an end")

    async def take_in(self, text: int) -> None:
        """A reading of the present second."""
        now = self.core.clock.now()
        payload = encode_batch([Measurement(now, now, 0, {"1-0:1.8.0": text})])
        await self.writing.engine.take_in([PendingReading(now, now, 0, payload)])


def _die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _dying(step: str, core: Core) -> None:
    """Whatever the step ends with is followed by death."""

    def after(owner: Any, name: str, when: Callable[..., bool] = lambda *_: True) -> None:
        original = getattr(owner, name)
        if asyncio.iscoroutinefunction(original):

            async def dies(*args: Any, **options: Any) -> Any:
                found = await original(*args, **options)
                return _die() if when(*args) else found

            setattr(owner, name, dies)
        else:

            def dies_too(*args: Any, **options: Any) -> Any:
                found = original(*args, **options)
                return _die() if when(*args) else found

            setattr(owner, name, dies_too)

    def fact(namespace: str) -> Callable[..., bool]:
        return lambda _events, facts=(), *_: any(each[0] == namespace for each in facts)

    memory, channels = core.storage.memory, core.storage.channels
    {
        "bound": lambda: after(memory, "keep", fact(BOUND)),
        "commit": lambda: after(channels, "record_commit"),
        "masters": lambda: after(Keystore, "put"),
        "destroyed": lambda: after(masterkeys.MasterKeys, "exchange"),
        "store": lambda: after(channels, "erase_past"),
        "scrub": lambda: after(channels, "scrub"),
        "replica": lambda: after(core.storage.replicas, "erase"),
        "broker": lambda: after(core.transport, "clear"),
        "receipt": lambda: after(memory, "keep", fact(RECEIPT)),
    }[step]()


async def _main(folder: str, now: int, step: str) -> None:
    hub = Hub()
    hub.start()
    async with AsyncExitStack() as stack:
        core = await open_core_of(stack, Path(folder), 2, "gateway", ManualClock(now), hub)
        gateway = Gateway(core)
        _dying(step, core)
        await gateway.rounds(lambda: False)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
