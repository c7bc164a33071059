"""The market's desk: an account that has no node of its own asks here about its contracts and its money."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keys.errors import KeysError
from keys.messages import parcel_domain, verify
from node.app.core import Core
from node.app.trading.knownorders import KnownOrders
from node.app.trading.netcontracts import NetContracts
from node.app.trading.recentcontracts import RecentContracts
from node.errors import NotFound, Refused
from node.projection.order import Order
from node.projection.trade import Trade, TradeStatus
from node.services.market.netcontracts import NetContract, Reports
from node.services.market.netting import DAY
from node.storage.accounts import Accounts
from node.storage.deliveries import Position
from node.wire.desk import (
    DESK_VALID_S,
    DeskAnswer,
    DeskContract,
    DeskMoney,
    DeskNetMember,
    DeskQuestion,
    desk_statement,
)

__all__ = ["MarketDesk", "contract_of"]

AT_ONCE = 500
TOLERANCE_S = 120


def contract_of(trade: Trade, orders: dict[bytes, Order]) -> DeskContract | None:
    """A contract for its partners; None for one that is gone, or of another market on the same chain."""
    made, delivered = trade.terms, trade.delivered
    if made is None or trade.status is TradeStatus.NONE:
        return None
    order = orders.get(made.offer) or orders.get(made.request)
    if order is None or order.terms is None:
        return None
    return DeskContract(
        id=trade.contract_id,
        status=trade.status.value,  # type: ignore[arg-type]  # checked when it is made
        final=trade.settled,
        seller=made.seller,
        buyer=made.buyer,
        offer=made.offer,
        request=made.request,
        wh=made.wh,
        price=made.price,
        start=order.terms.start,
        end=order.terms.end,
        by_seller=trade.reported_by(made.seller),
        by_buyer=trade.reported_by(made.buyer),
        delivered=delivered.wh if delivered else None,
        due=delivered.amount if delivered else None,
        paid=trade.paid,
        escrowed=made.escrowed,
        since=delivered.block.number if delivered else 0,
    )


def netted_of(made: NetContract, said: Reports, due: Mapping[str, Any] | None) -> DeskContract:
    """A contract that is netted, for its partners."""
    reports = sum(each is not None for each in (said.sold, said.used))
    return DeskContract(
        id=made.contract_id,
        status="delivered" if due is not None else "reported" if reports else "matched",
        final=True,
        seller=made.seller,
        buyer=made.buyer,
        offer=made.offer,
        request=made.request,
        wh=made.wh,
        price=made.price,
        start=made.start,
        end=made.end,
        by_seller=said.sold,
        by_buyer=said.used,
        delivered=due["wh"] if due is not None else None,
        due=due["amount"] if due is not None else None,
    )


class MarketDesk:
    """Answers signed questions. `operator` is whom they must name; `netted`: the contracts of a market that nets."""

    def __init__(self, core: Core, orders: KnownOrders, operator: bytes, netted: NetContracts | None = None) -> None:
        self._core = core
        self._orders = orders
        self._operator = operator
        self._netted = netted
        self._accounts = Accounts(core.storage.database)
        self._recent = RecentContracts(core)

    async def answer(self, question: DeskQuestion) -> DeskAnswer:
        """Raises Refused for a question that is not signed by its account for this market, or too old."""
        now = self._core.clock.now()
        if not -TOLERANCE_S <= now - question.signed_at <= DESK_VALID_S + TOLERANCE_S:
            raise Refused("The question is not of now.", field="signed_at", remedy="Check both clocks.")
        asked = desk_statement(question.account, self._operator, question.nonce, question.signed_at)
        try:
            verify(asked, parcel_domain(self._core.settings.chain.chain_id), question.signature, question.account)
        except KeysError as error:
            raise Refused(f"The question is not signed by its account: {error}.", field="signature") from error
        since = Position(question.seen_seq, question.seen_id)
        found = await self._changed(question.account, since)
        made = [trade.terms for _, trade in found if trade.terms is not None]
        orders = await self._orders.many({key for each in made for key in (each.offer, each.request)})
        last = found[-1][0] if found else since
        netted = await self._netted.of_account(question.account) if self._netted is not None else ()
        left, beside = await self._netted.left_of(question.account) if self._netted is not None else ((), ())
        return DeskAnswer(
            contracts=tuple(c for _, trade in found if (c := contract_of(trade, orders)) is not None),
            seen_seq=last.seq,
            seen_id=last.key,
            more=len(found) == AT_ONCE,
            money=await self._money(question.account) if question.money else None,
            netted=tuple(netted_of(*each) for each in netted),
            left=tuple(left),
            beside=tuple(beside),
        )

    async def _changed(self, account: bytes, since: Position) -> list[tuple[Position, Trade]]:
        recent = await self._recent.after(account, since)
        if recent is not None:
            return recent[:AT_ONCE]
        found = await self._accounts.contracts(account, since, AT_ONCE)
        if len(found) < AT_ONCE:
            self._recent.told(account, found[-1][0] if found else since)
        return found

    async def _money(self, account: bytes) -> DeskMoney:
        views = self._core.chain.market
        if views is None:
            raise NotFound("This node follows no market contract.")
        money = await views.money()
        domain = await money.domain()
        return DeskMoney(
            wallet=await money.balance(account),
            balance=await views.balance(self._operator, account),
            token=money.address,
            token_name=domain.name,
            token_version=domain.version,
            permit_nonce=await money.nonce(account),
            net=await self._member(account),
        )

    async def _member(self, account: bytes) -> DeskNetMember | None:
        views = self._core.chain.netting
        if self._netted is None or views is None:
            return None
        found = await views.member(self._operator, account)
        return DeskNetMember(
            balance=found.balance,
            most_a_day=found.max_debit,
            valid_until=found.until_period * DAY,
            serial=found.serial,
        )
