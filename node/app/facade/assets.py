"""The household's assets for the REST interface: settings from here, money and contracts from the chain."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from node.api.assets import AssetForm, AssetTotalsView, AssetView, FundForm, WalletView, WithdrawalForm
from node.api.views import ActionView
from node.app.core import Core
from node.app.trading.ownedassets import OwnedAsset, OwnedAssets
from node.config import DEVNET_CHAIN_ID
from node.errors import NotFound, Refused
from node.projection.trade import Trade
from node.types import to_hex
from node.wire.assets import AssetConfig

__all__ = ["AssetsPart", "totals_of"]

PAGE = 500


@dataclass(frozen=True, slots=True)
class AssetsPart:
    """Implements `AssetsFacade`; `owned` is None on a node that is no home, or follows no market."""

    core: Core
    owned: OwnedAssets | None

    def _owned(self) -> OwnedAssets:
        if self.owned is None:
            raise Refused("This node is no home with a market.", remedy="Ask the household's node.")
        return self.owned

    async def assets(self) -> tuple[AssetView, ...]:
        return tuple([await self._view(each, None) for each in await self._owned().all()])

    async def asset(self, device: bytes) -> AssetView:
        found = await self._owned().one(device)
        return await self._view(found, await self._totals(found))

    async def configure(self, form: AssetForm) -> AssetView:
        chosen = form.model_dump(exclude={"running"})
        config = AssetConfig.model_validate({**chosen, "status": "running" if form.running else "paused"})
        return await self._view(await self._owned().configure(config), None)

    async def change(self, device: bytes, status: str) -> AssetView:
        return await self._view(await self._owned().change(device, status), None)

    async def fund(self, device: bytes, form: FundForm) -> ActionView:
        return _queued(await self._owned().fund(device, form.amount))

    async def wallet(self) -> WalletView:
        views, account = self.core.chain.market, self.core.keys.identity.wallet().address
        if views is None:
            raise NotFound("This node follows no market.", remedy="Set settlement.market.")
        money = await views.money()
        symbol, decimals = await money.unit()
        return WalletView(
            account=account,
            balance=await money.balance(account),
            symbol=symbol,
            decimals=decimals,
            test_money=self.owned is not None and self.core.settings.chain.chain_id == DEVNET_CHAIN_ID,
        )

    async def withdraw(self, form: WithdrawalForm) -> ActionView:
        return _queued(await self._owned().withdraw(form.receiver, form.amount))

    async def test_money(self, form: FundForm) -> ActionView:
        return _queued(await self._owned().test_money(form.amount))

    async def _view(self, asset: OwnedAsset, totals: AssetTotalsView | None) -> AssetView:
        config, told, views = asset.config, asset.told, self.core.chain.market
        wallet = balance = None
        if told is not None and views is not None:
            wallet = await (await views.money()).balance(bytes(told.account))
            balance = await views.balance(bytes(told.operator), bytes(told.account))
        return AssetView(
            device=asset.device,
            name=config.name,
            role=config.role,
            carrier=config.carrier,
            status=config.status,
            market=config.market,
            area=config.area,
            location=config.location,
            description=config.description,
            offer_price=config.offer_price,
            limit_price=config.limit_price,
            min_offer_wh=config.min_offer_wh,
            delivery_s=config.delivery_s,
            image=config.image,
            dashboard=config.dashboard,
            operator=told.operator if told is not None else None,
            account=told.account if told is not None else None,
            wallet=wallet,
            balance=balance,
            totals=totals,
        )

    async def _totals(self, asset: OwnedAsset) -> AssetTotalsView | None:
        if asset.told is None:
            return None
        account = bytes(asset.told.account)
        sold = [trade async for trade in self._contracts("seller", account)]
        bought = [trade async for trade in self._contracts("buyer", account)]
        return totals_of(sold, bought)

    async def _contracts(self, side: str, account: bytes) -> AsyncIterator[Trade]:
        before: int | None = None
        while rows := await self.core.storage.views.page(Trade, link=(side, account), before=before, limit=PAGE):
            for _, trade in rows:
                yield trade
            before = rows[-1][0]


def _queued(key: bytes) -> ActionView:
    return ActionView(state="queued", digest=key, transaction=to_hex(key))


def totals_of(sold: list[Trade], bought: list[Trade]) -> AssetTotalsView:
    """What was delivered either way, in Wh and minor units. A contract without a delivery counts as a contract only."""
    out = [trade.delivered for trade in sold if trade.delivered is not None]
    into = [trade.delivered for trade in bought if trade.delivered is not None]
    wh, amount = sum(step.wh for step in (*out, *into)), sum(step.amount for step in (*out, *into))
    return AssetTotalsView(
        contracts=len(sold) + len(bought),
        produced_wh=sum(step.wh for step in out),
        consumed_wh=sum(step.wh for step in into),
        income=sum(step.amount for step in out),
        cost=sum(step.amount for step in into),
        mean_price=amount * 1_000 // wh if wh else None,
    )
