"""Netting for the REST interface, at the market and at the asset."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from node.api.netting import MandateForm, NetContractView, NetDayView, NetLeftView
from node.api.settlementviews import DepositForm
from node.api.views import ActionView
from node.app.core import Core
from node.app.trading.asset import AssetRole
from node.app.trading.assetnetsales import moment
from node.app.trading.market import MarketRole
from node.app.trading.netforms import contract_of
from node.app.trading.netleftline import LeftLine
from node.app.trading.netperiods import PERIODS
from node.errors import Refused
from node.projection.trade import Trade
from node.projection.tradedue import OVER
from node.services.market.netcontracts import NetContract
from node.services.market.netting import DAY
from node.types import to_hex
from node.wire.settlement import NetLeftOut

__all__ = ["NettingPart"]

SHOWN = 366
MOST = 500
LeftState = Literal["owed", "signed", "contracted", "closed", "set_off"]


@dataclass(frozen=True, slots=True)
class NettingPart:
    """Implements `NettingFacade`; None for what this node has no role for."""

    core: Core
    asset: AssetRole | None
    operator: MarketRole | None

    async def days(self) -> tuple[NetDayView, ...]:
        if self.operator is None:
            raise Refused("This node is no market.", remedy="Ask the market's node.")
        found = await self.core.storage.memory.facts.all(PERIODS)
        newest = sorted(found.items(), key=lambda each: int(each[0]), reverse=True)[:SHOWN]
        return tuple([await self._day(self.operator, int(name), state) for name, state in newest])

    async def _day(self, operator: MarketRole, day: int, state: dict[str, Any]) -> NetDayView:
        cycle = operator.netting
        open_ = state["state"] == "open"
        return NetDayView(
            day=_date(day),
            state=state["state"],
            contracts=len(await cycle.contracts.of(day)),
            lines=len(await cycle.lines.of(day)) if open_ else len(state.get("leaves", ())),
            left=state.get("left", 0),
            total=state.get("total", 0),
            deposit_short=state.get("deposit_short", 0),
        )

    async def contracts(self) -> tuple[NetContractView, ...]:
        if self.operator is not None:
            return await self._of_market(self.operator)
        if self.asset is None:
            raise Refused("This node neither is a market nor trades.", remedy="Ask the gateway or the market.")
        held = (await self.asset.netted.book.newest(MOST)).items()
        newest = sorted(held, key=lambda each: each[1].made.start, reverse=True)[:MOST]
        return tuple(_view(key, contract_of(each.made), (each.said or {}).get("wh"), {}) for key, each in newest)

    async def _of_market(self, operator: MarketRole) -> tuple[NetContractView, ...]:
        found = []
        for day in sorted(await operator.netting.contracts.days(), reverse=True):
            dues = await operator.netting.contracts.dues(day)
            for key, made in (await operator.netting.contracts.of(day)).items():
                found.append(_view(key, made, None, dues[key][1] if key in dues else {}))
        return tuple(found)

    async def left(self) -> tuple[NetLeftView, ...]:
        if self.operator is not None:
            lines = (await self.operator.netting.left.shown()).values()
            rows = [self._left(each.body, _state_of(each), each.contract) for each in lines]
        elif self.asset is not None:
            rows = [
                await self._left_of(self.asset, body, order) for body, order in (await self.asset.left.shown()).values()
            ]
        else:
            raise Refused("This node neither is a market nor trades.", remedy="Ask the gateway or the market.")
        return tuple(sorted(rows, key=lambda row: (row.day, row.id), reverse=True)[:MOST])

    async def _left_of(self, asset: AssetRole, body: NetLeftOut, order: bytes) -> NetLeftView:
        if not body.due:
            return self._left(body, "set_off", b"")
        trades = await self.core.storage.views.page(Trade, link=("order", order), limit=1) if order else []
        if not trades:
            own = asset.left.waits.get(bytes(body.leaf), "")
            return self._left(body, "signed" if order else "owed", b"", own)
        trade = trades[0][1]
        state: LeftState = "closed" if trade.status in OVER and trade.settled else "contracted"
        return self._left(body, state, trade.contract_id)

    def _left(self, body: NetLeftOut, state: LeftState, contract: bytes, own: str = "") -> NetLeftView:
        waits = own or (_waits(body, self.core.clock.now()) if state in ("owed", "signed") else "")
        return NetLeftView(
            id=body.leaf,
            day=_date(body.period),
            seller=body.seller,
            buyer=body.buyer,
            wh=body.wh,
            price=body.price,
            amount=body.amount,
            owed=body.due,
            reminders=body.reminders,
            claimed=body.claimed,
            state=state,
            contract=contract or None,
            waits=waits,
            until=body.until or None,
            awaited=body.awaited or None,
        )

    def _asset(self) -> AssetRole:
        if self.asset is None:
            raise Refused("This node is no gateway.", remedy="Ask the gateway of the asset.")
        return self.asset

    async def mandate(self, form: MandateForm) -> ActionView:
        return _queued(await self._asset().netting.mandate(form.market, form.most_a_day, form.valid_until))

    async def deposit(self, form: DepositForm) -> ActionView:
        if self.operator is not None and self.asset is None:
            return _queued(await self.operator.netting.deposit(form.amount))
        return _queued(await self._asset().netting.deposit(form.market, form.amount))


def _view(key: bytes, made: NetContract, reported: int | None, due: dict[str, Any]) -> NetContractView:
    return NetContractView(
        id=key,
        seller=made.seller,
        buyer=made.buyer,
        wh=made.wh,
        price=made.price,
        start=made.start,
        end=made.end,
        reported_wh=reported,
        delivered_wh=due.get("wh"),
        due=due.get("amount"),
    )


def _state_of(line: LeftLine) -> LeftState:
    if not line.body.due:
        return "set_off"
    if line.closed:
        return "closed"
    return "contracted" if line.contract else "signed" if len(line.orders) == 2 else "owed"


def _waits(body: NetLeftOut, now: int) -> str:
    """What a line without a contract waits for, or waited for, by its market's word: for both of its partners."""
    found = list[str]()
    if body.until:
        until = moment(body.until)
        found.append(
            f"Its buyer waits for what it sold itself on that day, until {until} at most."
            if now < body.until
            else f"Its buyer waited for what it sold itself on that day; since {until} it is due by itself."
        )
    if body.awaited:
        awaited = moment(body.awaited)
        found.append(
            f"Its seller pays what it owes itself for that day once this has a contract, from {awaited} without it."
            if now < body.awaited
            else f"Since {awaited} its seller pays what it owes itself without it; this stays owed."
        )
    return " ".join(found)


def _date(period: int) -> str:
    return datetime.fromtimestamp(period * DAY, UTC).date().isoformat()


def _queued(digest: bytes) -> ActionView:
    return ActionView(state="queued", digest=digest, transaction=to_hex(digest))
