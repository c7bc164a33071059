"""The way of the client library to a market's roles in this process: sealed and signed as ever, without HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any

from keys.parcel import pack
from keys.signers import LocalSigner
from node.client.link import Place, signed_question
from node.errors import NodeUnreachable
from node.wire.desk import DeskAnswer, DeskContract
from tests.support.tradeworld import World

__all__ = ["HandLink", "while_blocks_come"]


class HandLink:
    """Parcels go from hand to hand. `nets`: the market is one that nets; `lie`: what the market adds; `no_money`: it
    does not answer who asks for the own money."""

    def __init__(self, world: World, signer: LocalSigner, *, nets: bool) -> None:
        self._world = world
        self._signer = signer
        self._nets = nets
        self.lie: tuple[DeskContract, ...] = ()
        self.no_money = False

    async def find(self, contract: bytes, operator: bytes | None) -> Place:
        node = self._world.market
        assert node.market is not None
        assert node.core.chain.netting is not None
        net = node.core.chain.netting.address if self._nets else b""
        return Place(node.market.operator, node.market.terms_id, node.core.card, net)

    async def send(self, place: Place, kind: str, body: Mapping[str, Any], lifetime: int) -> None:
        now, chain_id = self._world.clock.now(), self._world.devnet.chain_id
        parcel = await pack(
            self._signer, place.card.sealing_key, kind, body, chain_id=chain_id, now=now, lifetime=lifetime
        )
        await self._world.market.inbox.take(parcel, "")

    async def ask(self, place: Place, seen: tuple[int, bytes], *, money: bool = False) -> DeskAnswer:
        if money and self.no_money:
            raise NodeUnreachable("The market does not answer.")
        now, chain_id = self._world.clock.now(), self._world.devnet.chain_id
        question = await signed_question(self._signer, place.operator, chain_id, now, seen, money)
        assert self._world.market.market is not None
        answer = await self._world.market.market.desk.answer(question)
        return answer.model_copy(update={"netted": (*answer.netted, *self.lie)})


async def while_blocks_come(world: World, what: Awaitable[None]) -> None:
    """Waits for something, with a round of the world after the other."""
    task = asyncio.ensure_future(what)
    while not task.done():
        await world.round()
        await asyncio.sleep(0)
    await task
