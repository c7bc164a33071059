"""The assets of a simulation: the library for third parties, with a key each, over a way inside this process."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from keys.parcel import pack
from keys.signers import LocalSigner
from node.app.simulation.stage import Stage
from node.client.link import Place, signed_question
from node.client.market import MarketClient
from node.projection.trade import Trade, TradeStatus
from node.storage.journal import Applied
from node.wire.desk import DeskAnswer, DeskContract

__all__ = ["Villagers"]

AT_ONCE = 128


class DirectLink:
    """Parcels go, sealed and signed as ever, from hand to hand instead of over HTTP."""

    def __init__(self, stage: Stage, signer: LocalSigner) -> None:
        self._stage = stage
        self._signer = signer

    async def find(self, contract: bytes, operator: bytes | None) -> Place:
        market = self._stage.market
        return Place(market.operator, market.terms_id, self._stage.core.card)

    async def send(self, place: Place, kind: str, body: Mapping[str, Any], lifetime: int) -> None:
        stage = self._stage
        now, chain_id = stage.clock.now(), stage.devnet.chain_id
        parcel = await pack(
            self._signer, place.card.sealing_key, kind, body, chain_id=chain_id, now=now, lifetime=lifetime
        )
        await stage.inbox.take(parcel, "")

    async def ask(self, place: Place, seen: tuple[int, bytes], *, money: bool = False) -> DeskAnswer:
        stage = self._stage
        question = await signed_question(
            self._signer, place.operator, stage.devnet.chain_id, stage.clock.now(), seen, money
        )
        return await stage.market.desk.answer(question)


def _turn(trade: Trade) -> frozenset[bytes]:
    """Whom a market's notice would call: a report is answered at once, all else waits until nothing takes it back."""
    made, status = trade.terms, trade.status
    if made is None or not (trade.settled or status is TradeStatus.REPORTED):
        return frozenset()
    if status in (TradeStatus.REPORTED, TradeStatus.DELIVERED):
        return frozenset({made.buyer})
    return frozenset({made.seller} if status is TradeStatus.PAID else {made.seller, made.buyer})


class Villagers:
    """All assets. Those whose turn it is look at their contracts; the others are left in peace."""

    def __init__(self, stage: Stage, count: int) -> None:
        self._stage = stage
        self._changed: set[bytes] = set()
        self._measured: dict[bytes, int] = {}  # Wh by contract, the same for both meters
        self.clients: list[MarketClient] = []
        for number in range(count):
            signer = LocalSigner((number + 1).to_bytes(32, "big"))
            link = DirectLink(stage, signer)
            self.clients.append(MarketClient.over(link, signer, stage.devnet.chain_id, stage.contract, stage.clock))
        self._by_account = {client.account: client for client in self.clients}
        stage.core.storage.journal.subscribe(self._heard)

    async def open(self) -> None:
        for client in self.clients:
            await client.__aenter__()

    def _heard(self, applied: Applied) -> None:
        for record in applied.records:
            for change in record.changes:
                if isinstance(change.state, Trade):
                    self._changed |= _turn(change.state)

    def wake(self) -> None:
        """The time of a delivery is over: everybody with a contract looks."""
        self._changed |= {client.account for client in self.clients if client.contracts}

    async def settle(self) -> int:
        """Signs what the contracts of those that heard something wait for; returns how many looked."""
        changed, self._changed = self._changed, set()
        waiting = iter(sorted(changed & self._by_account.keys()))

        async def lane() -> None:
            for account in waiting:
                await self._by_account[account].settle(self._meter)

        # Some at a time, as assets do: what they say together the market writes together.
        await asyncio.gather(*(lane() for _ in range(AT_ONCE)))
        return len(changed)

    def open_contracts(self, end: int) -> int:
        """Contracts delivered by then that are not over yet, at either side."""
        return sum(each.end <= end for client in self.clients for each in client.contracts.values())

    def _meter(self, contract: DeskContract) -> int | None:
        """Both meters count the same; the first contract and every sixteenth after it fall short by a tenth."""
        if self._stage.clock.now() < contract.end:
            return None
        short = contract.wh // 10 if len(self._measured) % 16 == 0 else 0
        return self._measured.setdefault(contract.id, contract.wh - short)
