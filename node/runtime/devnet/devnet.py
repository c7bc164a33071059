"""A devnet in one object: anvil, the contracts deployed, accounts funded, the deployment file written."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from contracts.artifact import ENERGY, MONEY, REGISTRY
from contracts.deployments import Deployment, DeploymentFile, write_deployments
from node.clock import Clock, SystemClock
from node.ledger import wire
from node.ledger.endpoint import Pace
from node.ledger.headers import Header
from node.ledger.rpc import Rpc, RpcOptions
from node.runtime.devnet.anvil import MNEMONIC, AnvilOptions, AnvilProcess
from node.runtime.devnet.deploy import deploy_dev_token, deploy_energy_token, deploy_registry
from node.runtime.devnet.errors import DevnetError
from node.runtime.devnet.settlement import deploy_settlement
from node.types import address_to_text

__all__ = ["ETHER", "Devnet", "DevnetOptions", "Fact"]

ETHER = 10**18
_SETTLEMENT = {
    "Allowances": "allowances",
    "Anchors": "anchors",
    "Market": "market",
    "NetSettlement": "net settlement",
}


@dataclass(frozen=True, slots=True)
class DevnetOptions:
    """``fund`` addresses (bytes20) get ``balance`` wei each. ``deployments`` is the file to write, None for none.

    With a ``registrar`` (bytes20) there is an energy token whose sources it admits. With ``settlement`` there is what
    settles trades in the dev token.
    """

    anvil: AnvilOptions = field(default_factory=AnvilOptions)
    binary: Path | None = None
    deployments: Path | None = None
    fund: Sequence[bytes] = ()
    balance: int = 100 * ETHER
    registrar: bytes | None = None
    settlement: bool = False


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of output: what, and its value."""

    name: str
    value: str


class Devnet:
    """Use as an async context manager; inside, the chain runs with the registry on it. Stopping ends anvil for sure."""

    def __init__(self, options: DevnetOptions | None = None, clock: Clock | None = None) -> None:
        self.options = options or DevnetOptions()
        self._clock = clock or SystemClock()
        self._anvil = AnvilProcess(self.options.anvil, binary=self.options.binary)
        self._stack = AsyncExitStack()
        self._rpc: Rpc | None = None
        self._contracts: dict[str, Deployment] = {}

    @property
    def url(self) -> str:
        """The HTTP endpoint."""
        return self._anvil.url

    @property
    def pid(self) -> int:
        """Process id of anvil. Raises AnvilFailed when it does not run."""
        return self._anvil.pid

    @property
    def chain_id(self) -> int:
        return self.options.anvil.chain_id

    @property
    def rpc(self) -> Rpc:
        """A client of the chain. Raises DevnetError outside the context."""
        if self._rpc is None:
            raise DevnetError("the devnet is not running")
        return self._rpc

    @property
    def registry(self) -> Deployment:
        """Where the registry is. Raises DevnetError outside the context."""
        return self.contracts.registry

    @property
    def contracts(self) -> DeploymentFile:
        """Where the contracts are: registry, dev token and, with a registrar, energy token.

        Raises DevnetError outside the context.
        """
        if not self._contracts:
            raise DevnetError("the devnet is not running")
        return DeploymentFile(self.chain_id, dict(self._contracts))

    async def __aenter__(self) -> Devnet:
        async with AsyncExitStack() as undo:
            undo.push_async_callback(self._stop)
            await self._start()
            undo.pop_all()
        return self

    async def _start(self) -> None:
        await self._stack.enter_async_context(self._anvil)
        # Mining, funding and reorganising may not arrive twice: a chain that is slow is waited for, not asked again.
        rpc = Rpc([self._anvil.url], self.chain_id, self._clock, RpcOptions(Pace(timeout=300.0), attempts=1))
        self._rpc = await self._stack.enter_async_context(rpc)
        await rpc.connect()
        accounts = await self._accounts()
        payer = accounts[0]
        self._contracts = {
            REGISTRY: await deploy_registry(rpc, payer=payer),
            MONEY: await deploy_dev_token(rpc, payer=payer),
        }
        if self.options.registrar is not None:
            self._contracts[ENERGY] = await deploy_energy_token(rpc, self.options.registrar, payer=payer)
        if self.options.settlement:
            self._contracts |= await deploy_settlement(rpc, self._contracts[MONEY].address, payer=payer)
        for address in self.options.fund:
            await self.fund(address)
        if self.options.deployments is not None:
            write_deployments(self.options.deployments, self.contracts)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()

    async def _stop(self) -> None:
        self._rpc, self._contracts = None, {}
        await self._stack.aclose()

    async def _accounts(self) -> list[bytes]:
        return [wire.fixed(text, 20) for text in await self.rpc.request("eth_accounts", [])]

    async def payer(self) -> bytes:
        """An unlocked account of the devnet (bytes20), for whoever deploys on it."""
        return (await self._accounts())[0]

    async def fund(self, address: bytes, wei: int | None = None) -> None:
        """Set the balance of an address."""
        amount = self.options.balance if wei is None else wei
        await self.rpc.request("anvil_setBalance", [wire.address_hex(address), wire.quantity_hex(amount)])

    async def reorg(self, depth: int) -> Header:
        """Replace the newest ``depth`` blocks by empty ones; their transactions are gone. Return the new head."""
        await self.rpc.request("anvil_reorg", [depth, []])
        return await self.rpc.head()

    async def mine(self, blocks: int = 1) -> Header:
        """Mine at once, also between the regular blocks. Return the new head."""
        await self.rpc.request("anvil_mine", [wire.quantity_hex(blocks)])
        return await self.rpc.head()

    async def wait(self) -> None:
        """Return only by raising AnvilFailed, when anvil ended by itself."""
        await self._anvil.wait()

    def _token_facts(self) -> list[Fact]:
        found = [Fact("dev token", address_to_text(self.contracts.find(MONEY).address))]
        if self.options.registrar is not None:
            energy = self.contracts.find(ENERGY)
            found += [
                Fact("energy token", address_to_text(energy.address)),
                Fact("energy token block", str(energy.block)),
                Fact("energy registrar", address_to_text(self.options.registrar)),
            ]
        if self.options.settlement:
            for name, label in _SETTLEMENT.items():
                place = self.contracts.find(name)
                found += [Fact(label, address_to_text(place.address)), Fact(f"{label} block", str(place.block))]
        return found

    async def facts(self) -> tuple[Fact, ...]:
        """Say what runs, one fact per line."""
        anvil = self.options.anvil
        blocks = "one per transaction" if anvil.block_time is None else f"every {anvil.block_time:g} s"
        if anvil.block_time == 0:
            blocks = "on demand"
        found = [
            Fact("rpc", self.url),
            Fact("websocket", self.url.replace("http://", "ws://", 1)),
            Fact("chain id", str(self.chain_id)),
            Fact("blocks", blocks),
            Fact("registry", address_to_text(self.registry.address)),
            Fact("registry block", str(self.registry.block)),
            *self._token_facts(),
            Fact("anvil process", str(self.pid)),
        ]
        if self.options.deployments is not None:
            found.append(Fact("deployment file", str(self.options.deployments)))
        if anvil.mnemonic == MNEMONIC:
            found.append(Fact("funded by mnemonic", f"{MNEMONIC} (public: devnets only)"))
        funded = [*(await self._accounts()), *self.options.fund]
        balances = await asyncio.gather(*(self.rpc.balance(address) for address in funded))
        found += [
            Fact("account", f"{address_to_text(address)} {balance // ETHER} ETH")
            for address, balance in zip(funded, balances, strict=True)
        ]
        return tuple(found)
