"""A household with a market beside it, as real processes."""

from __future__ import annotations

from dataclasses import replace

from tests.support.cluster import Cluster
from tests.support.nodes import NodeProcess

__all__ = ["Trading"]


class Trading(Cluster):
    """Gateway, home, and `alpha` as the market."""

    async def _make(self, name: str) -> NodeProcess:
        settings = dict(self.plan.settings.get(name, {}))
        settings["settlement.market"] = "0x" + self.devnet.contracts.find("Market").address.hex()
        if name == "alpha":
            settings["node.roles"] = ("market",)
        self.plan = replace(self.plan, settings={**self.plan.settings, name: settings})
        return await super()._make(name)
