"""Orders and contracts as a person decides about them."""

from __future__ import annotations

from dataclasses import dataclass

from node.api.lifecycle import AllowanceForm, DisputeForm, RulingForm, WithdrawForm
from node.api.settlementviews import JoinForm
from node.api.views import ActionView
from node.app.trading.asset import AssetRole
from node.app.trading.assetactions import AssetActions
from node.app.trading.assetmoney import AssetMoney
from node.app.trading.deciding import Arbiter
from node.app.trading.owning import Allowed, OwnerFunds
from node.errors import Refused
from node.types import to_hex

__all__ = ["LifePart"]


@dataclass(frozen=True, slots=True)
class LifePart:
    """Implements `LifeFacade`; None for what this node has no role for."""

    asset: AssetRole | None
    funds: OwnerFunds | None
    arbiter: Arbiter | None = None

    def _actions(self) -> AssetActions:
        if self.asset is None:
            raise Refused("This node is no gateway.", remedy="Ask the gateway of the asset.")
        return self.asset.actions

    async def cancel_order(self, order: bytes) -> ActionView:
        return _queued(await self._actions().cancel_order(order))

    async def cancel_contract(self, contract: bytes) -> ActionView:
        return _queued(await self._actions().cancel_contract(contract))

    async def dispute(self, contract: bytes, form: DisputeForm) -> ActionView:
        return _queued(await self._actions().dispute(contract, form.reason))

    async def evidence(self, contract: bytes) -> ActionView:
        return _queued(await self._actions().evidence(contract))

    async def rule(self, contract: bytes, form: RulingForm) -> ActionView:
        if self.arbiter is None:
            raise Refused("This node follows no market contract.", remedy="Set settlement.market.")
        return _queued(await self.arbiter.rule(contract, form.wh, form.operator))

    async def allow(self, form: AllowanceForm) -> ActionView:
        if self.funds is None:
            raise Refused("This node funds no assets.", remedy="Set settlement.allowances on the home.")
        wanted = Allowed(form.account, form.operator, form.per_day, form.per_contract, form.valid_until, form.total)
        return _queued(await self.funds.allow(wanted))

    async def withdraw(self, form: WithdrawForm) -> ActionView:
        return _queued(await self._money().withdraw(form.market, form.amount))

    async def take_out(self, form: JoinForm) -> ActionView:
        return _queued(await self._money().take_out(form.market))

    def _money(self) -> AssetMoney:
        if self.asset is None:
            raise Refused("This node is no gateway.", remedy="Ask the gateway of the asset.")
        return self.asset.money


def _queued(digest: bytes) -> ActionView:
    return ActionView(state="queued", digest=digest, transaction=to_hex(digest))
