"""Deploys what a plan says, one contract after the other, and writes down where each is.

The chain is the memory: a contract whose address has its code is done, whoever sent it. So a run that was killed is
continued by the same command. What it had sent may still be on its way; that is waited for before anything else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from contracts.deployments import Deployment, DeploymentFile, read_deployments, write_deployments
from contracts.errors import DeploymentError
from keys.signers import Signer
from node.clock import Clock
from node.errors import ConfigError, RecoverableError
from node.ledger import wire
from node.ledger.errors import FeesTooHigh, RpcError, RpcRefused, SenderUnfunded
from node.ledger.fees import FeePolicy
from node.ledger.finality import Finality
from node.ledger.memory import MemoryTransactions
from node.ledger.reverts import Reason, reverted
from node.ledger.rpc import Rpc
from node.ledger.sender import Sender, SenderOptions
from node.ledger.transaction import Call, Transaction, TxState
from node.runtime.deployment.errors import AnotherChain, NotFunded, OtherAddress, StillWaiting
from node.runtime.deployment.plan import Step
from node.runtime.deployment.survey import Survey, survey, verify
from node.types import address_to_text

__all__ = ["DeployOptions", "Deployer", "Record"]

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 4.0
_UNKNOWN: Final = bytes(32)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class DeployOptions:
    """``within`` seconds for each wait; ``silence`` seconds that the RPC node may fail to answer meanwhile."""

    lock_folder: Path
    finality: Finality = field(default_factory=Finality)
    fees: FeePolicy = field(default_factory=FeePolicy)
    within: float = 1_800.0
    silence: float = 60.0


class Record:
    """The deployments file of one chain, written anew after each contract. Entries of other contracts stay."""

    def __init__(self, path: Path, chain_id: int, steps: tuple[Step, ...]) -> None:
        """Raises ConfigError for a file that is none, AnotherChain, OtherAddress."""
        self.path = path
        self.content = DeploymentFile(chain_id, {})
        if not path.exists():
            return
        try:
            self.content = read_deployments(path)
        except DeploymentError as error:
            raise ConfigError(f"{error}.", remedy="Move the file away, or name another with --out.") from error
        if self.content.chain_id != chain_id:
            raise AnotherChain(f"{path} is of chain {self.content.chain_id}, not {chain_id}.")
        for step in steps:
            known = self.content.contracts.get(step.name)
            if known is not None and known.address != step.call.address:
                raise OtherAddress(
                    f"{path} has {step.name} at {address_to_text(known.address)}, and these arguments lead to"
                    f" {address_to_text(step.call.address)}."
                )

    def of(self, name: str) -> Deployment | None:
        return self.content.contracts.get(name)

    def put(self, name: str, deployment: Deployment) -> None:
        """Write the file, unless it says so already. Raises ConfigError."""
        if self.of(name) == deployment:
            return
        self.content = replace(self.content, contracts={**self.content.contracts, name: deployment})
        try:
            write_deployments(self.path, self.content)
        except OSError as error:
            raise ConfigError(
                f"{self.path} cannot be written ({error.strerror}).", remedy="Make room there."
            ) from error


class Deployer:
    """Deploys with one account. ``say`` takes one line on the progress."""

    def __init__(
        self, rpc: Rpc, signer: Signer, clock: Clock, options: DeployOptions, say: Callable[[str], None]
    ) -> None:
        self._rpc = rpc
        self._signer = signer
        self._clock = clock
        self._options = options
        self._say = say

    async def look(self, steps: tuple[Step, ...], token: bytes | None) -> Survey:
        """See ``survey``."""
        return await survey(self._rpc, steps, self._signer.address, self._options.fees, token)

    async def deploy(self, steps: tuple[Step, ...], token: bytes | None, record: Record) -> None:
        """Deploy what is not there, wait until all is final, verify all of it.

        Raises what ``survey`` raises, NotFunded, CallReverted, StillWaiting, SenderBusy, ConfigError, RpcError. The
        file has everything that was in a block and verified until then.
        """
        options = SenderOptions(self._options.lock_folder, self._options.finality, self._options.fees, bump_after=60)
        store = MemoryTransactions()
        async with Sender(self._rpc, self._signer, store, self._clock, _no_reason, options) as sender:
            await self._earlier_settled()
            found = await self.look(steps, token)
            if found.missing:
                raise NotFunded(found.payer, found.needed, found.balance)
            for row in found.rows:
                await self._one(sender, row.step, row.deployed, record)
            await self._all_final(sender, steps, record)

    async def _one(self, sender: Sender, step: Step, deployed: bool, record: Record) -> None:
        where = address_to_text(step.call.address)
        if deployed:
            if record.of(step.name) is None:
                record.put(step.name, await self._found(step))
            self._say(f"{step.name} is at {where} already")
            return
        self._say(f"{step.name} goes to {where}")
        call = Call(step.call.to, step.call.data, gas=step.gas_bound)
        await sender.submit(_key(step), call)
        tx = await self._until(partial(self._sent, sender, step, TxState.MINED), f"{step.name} is in no block")
        # Behind one address there may be several RPC nodes, and the next one asked may not have this block yet.
        await self._until(partial(self._has_code, step), f"{step.name} has no code")
        await verify(self._rpc, step)
        record.put(step.name, _deployment(step, tx))

    async def _has_code(self, step: Step) -> bool | None:
        return bool(await self._rpc.code(step.call.address)) or None

    async def _sent(self, sender: Sender, step: Step, until: TxState) -> Transaction | None:
        """Make one pass; return the transaction once it is this far."""
        try:
            await sender.step()
        except SenderUnfunded as fault:
            raise NotFunded(fault.address, fault.needed, fault.balance) from fault
        except FeesTooHigh:
            tx = await sender.find(_key(step))
            if tx is None or tx.state is TxState.QUEUED:
                raise
        tx = await sender.find(_key(step))
        if tx is not None and (tx.state is TxState.REFUSED or (tx.inclusion is not None and not tx.inclusion.ok)):
            raise reverted(tx.reason or Reason("reverted"))
        reached = {until, TxState.FINAL}
        return tx if tx is not None and tx.state in reached else None

    async def _all_final(self, sender: Sender, steps: tuple[Step, ...], record: Record) -> None:
        self._say("waiting until all of it is final")
        for step in steps:
            if await sender.find(_key(step)) is not None:
                final = partial(self._sent, sender, step, TxState.FINAL)
                tx = await self._until(final, f"{step.name} is not final")
                # A reorganisation may have put it into another block.
                record.put(step.name, _deployment(step, tx))
        blocks = [entry.block for step in steps if (entry := record.of(step.name)) is not None]
        await self._until(partial(self._is_final, max(blocks)), "the newest contract is not final")
        for step in steps:
            await verify(self._rpc, step)

    async def _is_final(self, block: int) -> bool | None:
        head = await self._rpc.head()
        return await self._options.finality.height(self._rpc, head) >= block or None

    async def _earlier_settled(self) -> None:
        """Wait for what this account sent before; its nonces are taken, and it may be one of the contracts."""
        await self._until(self._nothing_pending, f"a transaction of {address_to_text(self._signer.address)} is waiting")

    async def _nothing_pending(self) -> bool | None:
        who = self._signer.address
        return await self._rpc.nonce(who, at="pending") <= await self._rpc.nonce(who) or None

    async def _until(self, ask: Callable[[], Awaitable[_T | None]], complaint: str) -> _T:
        """Ask until there is an answer. Raises StillWaiting, or the RPC node's fault when that lasts."""
        begin = answered = self._clock.monotonic()
        pause = _FIRST_PAUSE
        while True:
            try:
                found = await ask()
                answered = self._clock.monotonic()
                if found is not None:
                    return found
            except RpcError as fault:
                silent = self._clock.monotonic() - answered
                if not isinstance(fault, RecoverableError) or silent > self._options.silence:
                    raise
            if self._clock.monotonic() - begin > self._options.within:
                raise StillWaiting(f"After {self._options.within:g} s {complaint}.")
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)

    async def _found(self, step: Step) -> Deployment:
        """Find since when a contract is there that no file of ours speaks of."""
        low, high = 0, (await self._rpc.head()).number
        try:
            while low < high:
                middle = (low + high) // 2
                if await self._rpc.code(step.call.address, at=middle):
                    high = middle
                else:
                    low = middle + 1
        except RpcRefused:
            self._say(f"{step.name}: the RPC node keeps no old state, so its block is not known; 0 stands for it")
            return Deployment(step.call.address, 0, _UNKNOWN, step.call.data[:32])
        return Deployment(step.call.address, low, await self._maker(step, low), step.call.data[:32])

    async def _maker(self, step: Step, block: int) -> bytes:
        """The transaction in this block that called the proxy; zero for one that went through another contract."""
        answer = await self._rpc.request("eth_getBlockByNumber", [wire.quantity_hex(block), True])
        listed = answer.get("transactions", []) if isinstance(answer, dict) else []
        for tx in listed:
            called = isinstance(tx, dict) and isinstance(tx.get("to"), str) and wire.fixed(tx["to"], 20) == step.call.to
            if called and wire.data(tx.get("input")) == step.call.data:
                return wire.fixed(tx.get("hash"), 32)
        return _UNKNOWN


def _key(step: Step) -> bytes:
    return step.call.address.rjust(32, b"\0")


def _deployment(step: Step, tx: Transaction) -> Deployment:
    if tx.inclusion is None:
        raise ValueError("a mined transaction is in a block")
    return Deployment(step.call.address, tx.inclusion.block_number, tx.inclusion.transaction_hash, step.call.data[:32])


def _no_reason(_: bytes) -> None:
    """The proxy passes no reason on."""
