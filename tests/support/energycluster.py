"""Two households and their energy community, as real processes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from node.runtime.devnet.deploy import deploy_energy_token
from tests.support.cluster import Cluster, Plan
from tests.support.nodes import NodeProcess
from tests.support.processes import until

__all__ = ["COMMUNITY", "QUARTERS", "EnergyCluster"]

COMMUNITY = "alpha"
QUARTERS = "electricity/15min"
PAST = 3 * 3_600
WATTS = 9_000
_NOT_YET = "0x" + "11" * 20


class EnergyCluster(Cluster):
    """`gateway` makes energy, `spare` uses it, `alpha` is the community and reads the quarter hours of both.

    The contract names its registrar, so the community's keys come first."""

    def __init__(self, root: Path, name: str) -> None:
        readings = {"settlement.reading_interval_s": 2, "meter.max_backlog_s": 2 * PAST}
        plan = Plan(
            providers=(COMMUNITY,), spares=("spare",), households=("neighbour",), streams=(QUARTERS,), past=PAST,
            steady={"gateway": WATTS, "spare": -WATTS},
            settings={
                COMMUNITY: {"node.roles": ("provider", "community"), "node.name": name},
                "gateway": readings, "spare": readings, "home": {}, "neighbour": {},
            },
        )  # fmt: skip
        super().__init__(root, plan)
        self._token = ""
        self._registrar: NodeProcess | None = None

    @property
    def community(self) -> NodeProcess:
        return self.nodes[COMMUNITY]

    async def _make(self, name: str) -> NodeProcess:
        if not self._token:
            await self._found(_NOT_YET)
        if name == COMMUNITY and self._registrar is not None:
            return self._registrar
        settings = {**self.plan.settings[name], "settlement.energy_token": self._token}
        self.plan = replace(self.plan, settings={**self.plan.settings, name: settings})
        return await super()._make(name)

    async def _found(self, instead: str) -> None:
        """The community, with `instead` of the token until there is one."""
        self._token = instead
        registrar = await self._make(COMMUNITY)
        rpc, payer = self.devnet.rpc, await self.devnet.payer()
        made = await deploy_energy_token(rpc, registrar.identity.wallet().address, payer=payer)
        self._token = "0x" + made.address.hex()
        text = registrar.config.read_text(encoding="utf-8")
        assert instead in text
        registrar.config.write_text(text.replace(instead, self._token), encoding="utf-8")
        self._registrar = registrar

    async def begin(self) -> None:
        """Both households are paired, their meters have told the past and go on."""
        for home, gateway in ((self.home, self.gateway), (self.nodes["neighbour"], self.nodes["spare"])):
            code = await gateway.post("/pairing/code")
            await home.post("/pairing", {"code": code["qr"]})
        for gateway in (self.gateway, self.nodes["spare"]):

            async def begun(node: NodeProcess = gateway) -> bool:
                return any(stream["epoch"] >= 1 for stream in await node.items("/streams"))

            await until(f"{gateway.name} is paired and writes", begun)
        for meter in self.meters.values():
            await meter.tell("backlog")
        for meter in self.meters.values():
            await meter.tell("wait")
            await meter.tell("live")
