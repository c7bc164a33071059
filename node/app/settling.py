"""Energy and money in one node: which of the roles it has, their loops, and what the REST interface sees of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from node.app.asset import AssetRole
from node.app.community import CommunityRole
from node.app.core import Core
from node.app.counters import Counters
from node.app.facade.settlement import EnergyPart, MarketPart, Settlement
from node.app.gateway import GatewayRole
from node.app.home import HomeRole
from node.app.market import MarketRole
from node.app.parcels import Inbox, Post
from node.app.sources import OwnedSources, SourceMeter
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
    shown: Counters = field(default_factory=Counters)

    def services(self) -> list[Service]:
        """The loops of what this node has."""
        loops = (self.meter, self.asset, self.operator)
        return [each.service() for each in loops if each is not None]

    def facade(self) -> Settlement:
        """For the REST interface."""
        core = self.core
        return Settlement(
            EnergyPart(core, self.meter, self.owned, self.community), MarketPart(core, self.asset, self.operator)
        )


def make_settling(core: Core, post: Post, inbox: Inbox, home: HomeRole | None, gateway: GatewayRole | None) -> Settling:
    """Makes the roles that the config names. Raises ConfigError where a role lacks its contract."""
    roles, shown = core.settings.node.roles, Counters()
    for role, contract, name in (
        ("market", core.chain.market, "settlement.market"),
        ("community", core.chain.energy, "settlement.energy_token"),
    ):
        if role in roles and contract is None:
            raise ConfigError(f"The role {role} needs {name}.", field=name, remedy=f"Set {name} in the config file.")
    meter = asset = None
    if gateway is not None:
        meter = SourceMeter(core, post, gateway, shown) if core.chain.energy else None
        asset = AssetRole(core, post, shown) if core.chain.market else None
    owned = OwnedSources(core, post, home) if home is not None and core.chain.energy else None
    community = CommunityRole(core) if "community" in roles else None
    operator = MarketRole(core) if "market" in roles else None
    for each in (owned, community, operator):
        if each is not None:
            each.register(inbox)
    return Settling(core, meter, asset, owned, community, operator, shown)
