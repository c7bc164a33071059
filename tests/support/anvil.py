"""A real anvil for tests: on a free port, stopped by its own process id, with the few admin calls that tests need."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from eth_account import Account

from keys.signers import LocalSigner
from node.clock import Clock, SystemClock
from node.ledger.endpoint import Pace
from node.ledger.headers import Header
from node.ledger.rpc import Rpc, RpcOptions
from node.runtime.devnet.anvil import MNEMONIC, AnvilOptions, AnvilProcess

__all__ = ["EMITTER", "Anvil", "anvil", "dev_signer"]

# A contract of 35 bytes. Calldata of 32 bytes or more: log1(topic = first word, data = the rest). Less: revert with it.
EMITTER = bytes.fromhex(
    "6023600c60003960236000f360203610601857600035602036038060206000376000a1005b366000600037366000fd"
)


def dev_signer(index: int = 0) -> LocalSigner:
    """The signer of one of anvil's funded accounts."""
    Account.enable_unaudited_hdwallet_features()
    return LocalSigner(bytes(Account.from_mnemonic(MNEMONIC, account_path=f"m/44'/60'/0'/0/{index}").key))


class Anvil:
    """A running anvil with admin calls; ``rpc`` talks to it directly, whatever the code under test goes through."""

    def __init__(self, process: AnvilProcess, rpc: Rpc) -> None:
        self.process = process
        self.rpc = rpc
        self.signers = [dev_signer(index) for index in range(4)]

    @property
    def url(self) -> str:
        return self.process.url

    @property
    def chain_id(self) -> int:
        return self.process.options.chain_id

    async def ask(self, method: str, *params: Any) -> Any:
        return await self.rpc.request(method, list(params))

    async def mine(self, blocks: int = 1) -> None:
        await self.ask("anvil_mine", hex(blocks))

    async def reorg(self, depth: int) -> None:
        """Replace the newest ``depth`` blocks by empty ones of other hashes."""
        await self.ask("anvil_reorg", depth, [])

    async def rollback(self, depth: int) -> None:
        await self.ask("anvil_rollback", depth)

    async def head(self) -> Header:
        return await self.rpc.head()

    async def set_balance(self, address: bytes, wei: int) -> None:
        await self.ask("anvil_setBalance", "0x" + address.hex(), hex(wei))

    async def send(self, to: bytes | None, data: bytes = b"", *, account: int = 0, value: int = 0) -> bytes:
        """Send from one of anvil's unlocked accounts and return the transaction hash; it is not mined by this."""
        query = {
            "from": "0x" + self.signers[account].address.hex(),
            "data": "0x" + data.hex(),
            "value": hex(value),
            "gas": hex(3_000_000),
        }
        if to is not None:
            query["to"] = "0x" + to.hex()
        return bytes.fromhex((await self.ask("eth_sendTransaction", query))[2:])

    async def deploy(self, init: bytes = EMITTER, *, account: int = 3) -> bytes:
        """Deploy in a block of its own and return the address."""
        sent = await self.send(None, init, account=account)
        await self.mine()
        receipt = await self.rpc.receipt(sent)
        assert receipt is not None
        assert receipt.ok
        assert receipt.contract is not None
        return receipt.contract


@asynccontextmanager
async def anvil(
    *, block_time: float | None = 0, clock: Clock | None = None, options: AnvilOptions | None = None
) -> AsyncIterator[Anvil]:
    """Start anvil; ``block_time`` 0 mines only when told."""
    async with AnvilProcess(options or AnvilOptions(block_time=block_time)) as process:
        patient = RpcOptions(Pace(timeout=60.0), attempts=1)
        async with Rpc([process.url], process.options.chain_id, clock or SystemClock(), patient) as rpc:
            yield Anvil(process, rpc)
