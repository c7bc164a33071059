"""Looks at a chain before and after a deployment: what is there, what the rest costs, and whether it is ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.artifact import REGISTRY, verify_runtime_code
from contracts.create2 import DEPLOYMENT_PROXY, PROXY_RUNTIME_CODE
from contracts.errors import CodeMismatch
from node.clock import Clock
from node.ledger.endpoint import Endpoint
from node.ledger.errors import RegistryMismatch, RpcRefused, WrongChain
from node.ledger.fees import FeePolicy, Fees
from node.ledger.rpc import Rpc
from node.ledger.views import RegistryViews
from node.runtime.deployment.errors import AnotherChain, ForeignCode, ProxyMissing, TokenMissing
from node.runtime.deployment.plan import Step
from node.types import address_to_text, to_hex

__all__ = ["PROXY_FUNDING", "PROXY_SIGNER", "PROXY_TRANSACTION", "Row", "Survey", "ask_chain_id", "survey", "verify"]

PROXY_SIGNER = bytes.fromhex("3fab184622dc19b6109349b94811493bf2a45362")
PROXY_FUNDING = 10**16  # wei: 100,000 gas at the 100 gwei that the transaction offers
# The transaction that creates the proxy. Its signature is made up (r and s are 0x22...), so nobody has the key of its
# sender, and it names no chain, so it is good on each.
PROXY_TRANSACTION = bytes.fromhex(
    "f8a58085174876e800830186a08080b853604580600e600039806000f350fe" + PROXY_RUNTIME_CODE.hex() + "1b"
    "a02222222222222222222222222222222222222222222222222222222222222222"
    "a02222222222222222222222222222222222222222222222222222222222222222"
)


@dataclass(frozen=True, slots=True)
class Row:
    """One step as the chain is now. ``gas`` is 0 where it is deployed; ``estimated`` False for an upper bound."""

    step: Step
    deployed: bool
    gas: int
    estimated: bool


@dataclass(frozen=True, slots=True)
class Survey:
    """All steps, present fees, the paying account (20 bytes) and its balance in wei."""

    rows: tuple[Row, ...]
    fees: Fees
    payer: bytes
    balance: int

    @property
    def gas(self) -> int:
        return sum(row.gas for row in self.rows)

    @property
    def price(self) -> int:
        """Wei per gas that the next block would take."""
        return self.fees.base + self.fees.priority_fee

    @property
    def needed(self) -> int:
        """Wei that must be there before anything is sent: base fees may double on the way."""
        return self.gas * self.fees.max_fee

    @property
    def missing(self) -> int:
        return max(0, self.needed - self.balance)


async def ask_chain_id(url: str, clock: Clock, expected: int | None) -> int:
    """Return the chain id that the RPC node serves. Raises AnotherChain when it is not ``expected``, RpcError."""
    nobody = 0  # no chain has this id, so the answer names the true one
    endpoint = Endpoint(url, expected or nobody, clock)
    try:
        await endpoint.head()
    except WrongChain as answer:
        if expected is not None:
            raise AnotherChain(f"{endpoint.name} serves chain {answer.found}, not {expected}.") from answer
        return answer.found
    finally:
        await endpoint.close()
    return expected or nobody


async def survey(rpc: Rpc, steps: Sequence[Step], payer: bytes, fees: FeePolicy, token: bytes | None) -> Survey:
    """Look at everything and change nothing.

    Raises ProxyMissing, ForeignCode, TokenMissing, FeesTooHigh, RpcError.
    """
    await _check_proxy(rpc)
    if token is not None and not await rpc.code(token):
        raise TokenMissing(f"There is no contract at {address_to_text(token)} on chain {rpc.chain_id}.")
    rows = []
    for step in steps:
        deployed = bool(await rpc.code(step.call.address))
        if deployed:
            await verify(rpc, step)
        gas, estimated = (0, True) if deployed else await _gas(rpc, step, payer)
        rows.append(Row(step, deployed, gas, estimated))
    return Survey(tuple(rows), await fees.current(rpc), payer, await rpc.balance(payer))


async def verify(rpc: Rpc, step: Step) -> None:
    """Compare the code at the address, and what it was made with, with the plan. Raises ForeignCode, RpcError."""
    address = step.call.address
    where = f"{step.name} at {address_to_text(address)}"
    try:
        verify_runtime_code(await rpc.code(address), step.name)
    except CodeMismatch as error:
        raise ForeignCode(f"{where}: {error}.") from error
    for fact in step.facts:
        if await rpc.call(address, fact.question) != fact.answer:
            raise ForeignCode(f"{where}: its {fact.what} is not what was ordered.")
    if step.name == REGISTRY:
        try:
            await RegistryViews(rpc, address, rpc.chain_id).check()
        except RegistryMismatch as error:
            raise ForeignCode(f"{where}: {error}.") from error


async def _check_proxy(rpc: Rpc) -> None:
    where = address_to_text(DEPLOYMENT_PROXY)
    found = await rpc.code(DEPLOYMENT_PROXY)
    if not found:
        raise ProxyMissing(
            f"The CREATE2 proxy {where} is not on chain {rpc.chain_id}.",
            remedy=(
                f"Anybody can put it there: send {PROXY_FUNDING} wei to {address_to_text(PROXY_SIGNER)}, then send this"
                f" with eth_sendRawTransaction: {to_hex(PROXY_TRANSACTION)} . A chain that takes no transactions"
                " without chain id must bring the proxy itself; ask who runs it."
            ),
        )
    if found != PROXY_RUNTIME_CODE:
        raise ForeignCode(
            f"The code at {where} is not the CREATE2 proxy.", remedy="Do not deploy on this chain; ask who runs it."
        )


async def _gas(rpc: Rpc, step: Step, payer: bytes) -> tuple[int, bool]:
    try:
        return await rpc.estimate_gas(step.call.to, step.call.data, sender=payer), True
    except RpcRefused:  # its constructor asks a contract that is not there yet, or the node does not estimate
        return step.gas_bound, False
