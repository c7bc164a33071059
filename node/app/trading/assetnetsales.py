"""At an asset: whether what was left out of its own sales of a day keeps it from signing for what it owes for that day.

That a sale was left out is the market's word alone until it has its own contract: with a false one, what a batch took
would look as if it had not. So a debt waits for that contract, but not without end (`node.services.market.waiting`):
who bought may never sign. After the agreed time two things besides what the chain shows of this asset have to fit the
market's word, and both would have to be false for it to pay twice:

- the batch took nothing of who bought. A netting leaves out all that an account owes, or nothing of it;
- the market says the same in the digital twin of that sale, under its own signature and before the eyes of who bought,
  who knows what a batch took of it. A twin that does not come is waited for until the first reminder.

What the sale is worth stays owed: its line stays as it is, reminded of and claimed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from channels.errors import ChannelError
from keys.errors import KeysError
from node.app.core import Core
from node.app.trading.verifying import TwinLogs
from node.ledger.netting import NetViews
from node.projection.trade import Trade, TradeStatus
from node.services.market.waiting import Sale, has_to_wait, wait_ends
from node.services.twin.netrecords import left_in
from node.services.twin.records import decode_record
from node.wire.settlement import NetLeftOut

__all__ = ["LeftSale", "LeftSales", "moment"]


@dataclass(frozen=True, slots=True)
class LeftSale:
    """A sale that was left out, by the market's word, the order that this asset signed for it (empty before), and the
    netted contracts that it is for."""

    body: NetLeftOut
    order: bytes
    contracts: Collection[bytes]


class LeftSales:
    """Of one asset."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.twins: TwinLogs | None = None
        """Where the digital twins are; without them the chain alone is asked."""

    async def keep(self, views: NetViews, body: NetLeftOut, terms: bytes, sales: Sequence[LeftSale]) -> str:
        """Why a line is not signed for yet; empty where nothing of these sales keeps it back. `terms`: those that its
        request named. Raises RpcError to try again."""
        waiting = [sale for sale in sales if not await self._has_contract(sale.order)]
        ends = await self._ends(body, terms) if waiting else 0
        if has_to_wait(ends, self._core.clock.now(), [Sale(offered=True, contracted=False) for _ in waiting]):
            return f"A sale of that day that was left out has no contract of its own yet. Until {moment(ends)} at most."
        if not waiting or not await views.number(bytes(body.operator), bytes(body.buyer)):
            return ""  # nothing is ever taken of who is in no book
        moved = await views.moved(bytes(body.operator), body.period, body.block) or {}
        for sale in waiting:
            number = await views.number(bytes(body.operator), bytes(sale.body.buyer))
            if moved.get(number, 0) < 0:
                return "The day's batch took money of the buyer of a sale that the market calls left out."
            told = await self._told(sale)
            if told is None and not body.reminders:
                return "The digital twin of a sale does not say yet that it was left out."
            if told is False:
                return "The digital twin of a sale says otherwise than that it was left out."
        return ""

    async def _has_contract(self, order: bytes) -> bool:
        found = await self._core.storage.views.page(Trade, link=("order", order)) if order else []
        return any(t.terms and t.terms.final and t.status is not TradeStatus.CANCELLED for _, t in found)

    async def _ends(self, body: NetLeftOut, terms: bytes) -> int:
        """When the wait is over, by the chain's own time of the batch."""
        market, block = self._core.chain.market, await self._core.chain.rpc.block(body.block)
        if market is None or block is None:
            return self._core.clock.now() + 1  # asked again
        agreed = await market.terms(terms)
        return wait_ends(block.header.timestamp, body.period, agreed.payment_due, agreed.reminder_every)

    async def _told(self, sale: LeftSale) -> bool | None:
        """Whether the market says in the twins of a sale's contracts that it was left out; None where it says nothing
        of one of them."""
        wanted, said = (sale.body.amount, sale.body.due), list[bool]()
        for contract in sale.contracts if self.twins is not None else ():
            try:
                _, logs = await self.twins.logs(contract) if self.twins is not None else (None, None)
            except (ChannelError, KeysError):
                return None
            log = logs.log(bytes(sale.body.operator)) if logs is not None else ()
            records = [record for each in log if (record := decode_record(each.content)) is not None]
            told = [found for record in records if (found := left_in(record)) is not None]
            if any(each != wanted for each in told):
                return False
            if told:
                said.append(True)
        return True if len(said) == len(sale.contracts) or self.twins is None else None


def moment(seconds: int) -> str:
    """A time as people read it, UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
