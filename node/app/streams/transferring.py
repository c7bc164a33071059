"""At the gateway: a stream that was transferred has its past closed (channels.md 4, rule 11).

The registry takes no grant that begins before the transfer, so nobody may be given a key to what lies before it any
more: what such keys are made from is destroyed, by the steps of an erasure that nobody has to ask for. Only once the
transfer is final, because what is destroyed comes back by no reorg. The household that gave the stream away loses its
leaf at the first sight of the transfer, like a revoked reader, and has it back, from the transfer on, where the stream
comes back to it (streamports.py).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from hashlib import sha256
from itertools import pairwise

import structlog

from node.app.core import Core
from node.app.services import looped
from node.app.streams.gateway import GatewayRole
from node.app.streams.opening import Writing
from node.app.streams.streamports import OWNED
from node.errors import ChainUnreachable
from node.projection.base import Block
from node.projection.stream import Owner, Stream
from node.runtime.supervisor import Service
from node.wire.past import PastRequest

__all__ = ["CLOSED", "WANTED", "TransferWatch", "block_time"]

_log = structlog.get_logger(__name__)

WANTED = "past_wanted"
"""Namespace of facts by stream and erasure: what is to be erased."""
CLOSED = "past_closed"
"""Namespace of facts, likewise: the former owner in hex where it is a transfer that closes the past."""

EVERY_S = 1.0


class TransferWatch:
    """`step` is called by one task. `time_of`: the time of a block, seconds UTC; None while the chain does not say."""

    def __init__(self, core: Core, gateway: GatewayRole, time_of: Callable[[Block], Awaitable[int | None]]) -> None:
        self._core = core
        self._gateway = gateway
        self._time_of = time_of

    def service(self) -> Service:
        return Service("transfers", looped(self._core.wake_for(Stream), self.step, EVERY_S))

    async def step(self) -> bool:
        """Closes the past of every stream written here that has a new final owner."""
        for writing in list(self._gateway.writing.values()):
            stream = await self._core.storage.views.one(Stream, writing.spec.sid)
            final = [fact for fact in stream.owners if fact.final]
            for former, moved in pairwise(final):
                await self._close(writing, former.owner, moved)
        return False

    async def _close(self, writing: Writing, former: bytes, moved: Owner) -> None:
        """Both facts in one transaction: the household is a member again only where the past is closed before it."""
        sid, memory = writing.spec.sid, self._core.storage.memory
        erasure_id = sha256(b"transfer" + sid + moved.block.hash + former).digest()
        name = f"{sid.hex()}/{erasure_id.hex()}"
        if await memory.facts.get(CLOSED, name) is not None:
            return
        at = await self._time_of(moved.block)
        if at is None:
            return
        request = PastRequest(erasure_id=erasure_id, sid=sid, before=at, reason="transferred", requested_at=at)
        owned = [moved.block.number, at]
        facts = [(WANTED, name, request.to_json()), (CLOSED, name, former.hex()), (OWNED, sid.hex(), owned)]
        await memory.keep((), facts)
        self._core.wake()
        _log.info("stream_transferred", category=writing.spec.category, block=moved.block.number)


def block_time(core: Core) -> Callable[[Block], Awaitable[int | None]]:
    """Asks the chain. A block that it does not have, or not by this hash, has no time."""

    async def time_of(block: Block) -> int | None:
        try:
            found = await core.chain.rpc.block(block.number)
        except ChainUnreachable:
            return None
        return found.header.timestamp if found is not None and found.header.hash == block.hash else None

    return time_of
