"""What a role needs of the settings, beyond what each setting allows by itself."""

from __future__ import annotations

from node.config.settings import Settings

__all__ = ["lacking_settings"]


def lacking_settings(settings: Settings) -> tuple[tuple[str, str], ...]:
    """Settings without which the node does not start, each with why: `("settlement.market", "The role ...")`."""
    roles, chosen = settings.node.roles, settings.settlement
    found = []
    if "market" in roles and chosen.market is None:
        found.append(("settlement.market", "The role market needs settlement.market."))
    if "community" in roles and chosen.energy_token is None:
        found.append(("settlement.energy_token", "The role community needs settlement.energy_token."))
    if "market" in roles and settings.market.settle == "net" and chosen.net_settlement is None:
        found.append(("settlement.net_settlement", "A market that nets needs a net settlement."))
    return tuple(found)
