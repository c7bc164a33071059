"""Energy and money in one node: which of the roles it has, their loops, and what the REST interface sees of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from node.app.core import Core
from node.app.counters import Counters
from node.app.facade.assets import AssetsPart
from node.app.facade.flows import FlowPart
from node.app.facade.jobs import JobsPart
from node.app.facade.lifecycle import LifePart
from node.app.facade.marketdata import MarketDataPart
from node.app.facade.marketplace import MarketplacePart
from node.app.facade.netting import NettingPart
from node.app.facade.settlement import EnergyPart, MarketPart, Settlement
from node.app.facade.statements import StatementPart
from node.app.facade.twins import TwinPart
from node.app.inbox import Inbox
from node.app.parcels import Post
from node.app.streams.gateway import GatewayRole
from node.app.streams.home import HomeRole
from node.app.streams.provider import ProviderRole
from node.app.trading.asset import AssetRole
from node.app.trading.assetpool import AssetPool
from node.app.trading.assettelling import AssetTelling
from node.app.trading.community import CommunityRole
from node.app.trading.deciding import Arbiter
from node.app.trading.market import MarketRole
from node.app.trading.ownedassets import Gateway, OwnedAssets
from node.app.trading.owning import OwnerFunds
from node.app.trading.sources import OwnedSources, SourceMeter
from node.app.trading.statements import StatementBook
from node.app.trading.twins import Holders, Twins
from node.config import lacking_settings
from node.errors import ConfigError
from node.runtime.supervisor import Service

__all__ = ["Settling", "make_settling"]


@dataclass(frozen=True, slots=True)
class Settling:
    """None for a role that this node lacks. `shown` is filled by the meter's reader."""

    core: Core
    meter: SourceMeter | None
    asset: AssetRole | None
    owned: OwnedSources | None
    community: CommunityRole | None
    operator: MarketRole | None
    book: StatementBook | None
    twins: Twins | None
    inbox: Inbox
    pool: AssetPool | None = None
    funds: OwnerFunds | None = None
    assets: OwnedAssets | None = None
    telling: AssetTelling | None = None
    shown: Counters = field(default_factory=Counters)

    def services(self) -> list[Service]:
        """The loops of what this node has."""
        operator = self.operator
        cycles = (operator.duties, operator.netting, operator.anchoring, operator.bids) if operator is not None else ()
        loops = (self.meter, self.asset, self.pool, self.telling, self.assets, operator, self.book, *cycles, self.twins)
        return [each.service() for each in loops if each is not None]

    @property
    def energy(self) -> EnergyPart:
        """Sources and shares, for the REST interface and the status."""
        return EnergyPart(self.core, self.meter, self.owned, self.community)

    def facade(self, readers: ProviderRole) -> Settlement:
        """For the REST interface; `readers` has the streams that this node reads."""
        core = self.core
        return Settlement(
            self.energy,
            MarketPart(core, self.asset, self.operator),
            MarketDataPart(core, self.operator),
            StatementPart(core, self.book, self.asset, self.operator),
            FlowPart(core, readers),
            TwinPart(core, self.twins),
            MarketplacePart(core, self.inbox, self.pool),
            JobsPart(core, self.pool),
            LifePart(self.asset, self.funds, Arbiter(core) if core.chain.market is not None else None),
            AssetsPart(core, self.assets),
            NettingPart(core, self.asset, self.operator),
        )


def make_settling(core: Core, post: Post, inbox: Inbox, home: HomeRole | None, gateway: GatewayRole | None) -> Settling:
    """Makes the roles that the config names. Raises ConfigError where a role lacks its contract."""
    roles, shown = core.settings.node.roles, Counters()
    for name, why in lacking_settings(core.settings):
        raise ConfigError(why, field=name, remedy=f"Set {name} in the config file.")
    meter = asset = None
    if gateway is not None:
        meter = SourceMeter(core, post, gateway, shown) if core.chain.energy else None
        asset = AssetRole(core, post, shown, gateway.owner_peer) if core.chain.market else None
    owned = OwnedSources(core, post, home) if home is not None and core.chain.energy else None
    funds = _owner_funds(core, home) if home is not None and core.chain.funding else None
    community = CommunityRole(core) if "community" in roles else None
    operator = MarketRole(core) if "market" in roles else None
    twins = Twins(core, Holders(operator, asset, gateway, home)) if core.chain.market is not None else None
    if asset is not None:
        asset.compare_with(twins)
    assets = _owned_assets(core, post, home) if home is not None and core.chain.market else None
    for each in (asset, owned, funds, assets, community, operator, twins):
        if each is not None:
            each.register(inbox)
    netted = operator.netting.contracts if operator is not None else None
    left = {"stands_for": asset.left.stands_for} if asset is not None else {}
    book = StatementBook(core, netted, **left) if asset is not None or operator is not None else None
    pool = _asset_pool(core, asset, gateway) if asset is not None and gateway is not None else None
    telling = None
    if pool is not None and asset is not None and gateway is not None:
        pool.register(inbox)
        telling = AssetTelling(core, asset, pool, gateway.owner_peer)
    parts = (pool, funds, assets, telling, shown)
    return Settling(core, meter, asset, owned, community, operator, book, twins, inbox, *parts)


def _asset_pool(core: Core, asset: AssetRole, gateway: GatewayRole) -> AssetPool:
    async def owner() -> bytes | None:
        device = await gateway.owner()
        return device.owner if device is not None else None

    return AssetPool(core, asset, owner)


def _owner_funds(core: Core, home: HomeRole) -> OwnerFunds:
    async def gateway() -> bytes | None:
        device = await home.gateway()
        return device.device if device is not None else None

    return OwnerFunds(core, gateway)


def _owned_assets(core: Core, post: Post, home: HomeRole) -> OwnedAssets:
    async def gateway() -> Gateway | None:
        device = await home.gateway()
        return Gateway(device.device, device.local.peer) if device is not None and device.local is not None else None

    return OwnedAssets(core, post, gateway)
