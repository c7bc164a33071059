"""The Allowances contract as the ledger uses it: what an owner lets an asset's account draw, and drawing on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from contracts.bindings import allowances as abi
from keys import messages as m
from node.ledger.answers import ask
from node.ledger.errors import MessageMalformed, RpcRefused
from node.ledger.faces import Face, Silent
from node.ledger.reader import At, ChainReader
from node.ledger.reverts import Reason, reason_from, reason_of
from node.ledger.transaction import Call

__all__ = ["AllowanceViews", "allowances_call", "allowances_face"]

T = TypeVar("T")
_GAS = 200_000
_FUND_GAS = 400_000


def allowances_call(
    address: bytes, message: m.Message, signatures: Sequence[bytes], opening: Sequence[m.Opening]
) -> Call:
    """The call that brings an allowance onto the chain. Raises MessageMalformed."""
    if not isinstance(message, m.Allowance):
        raise MessageMalformed(f"{type(message).__name__} is not a message of the allowances")
    if len(signatures) != 1 or opening:
        raise MessageMalformed("Allowance takes 1 signature(s) and nothing besides")
    return Call(address, abi.encode_allow(message, signatures[0]), gas=_GAS)


def _reason(data: bytes) -> Reason | None:
    return reason_from(abi.ERRORS, abi.decode_error, data)


def allowances_face(chain_id: int, address: bytes) -> Face:
    """The face of the Allowances at an address."""
    domain = m.allowances_domain(chain_id, address)
    return Face(domain, frozenset({m.Allowance}), allowances_call, Silent(), _reason)


class AllowanceViews:
    """What one Allowances contract says. Minor units; all raise RpcError."""

    def __init__(self, reader: ChainReader, address: bytes) -> None:
        self.address = address
        self._reader = reader

    async def funding(self, owner: bytes, operator: bytes, account: bytes, *, at: At = "latest") -> abi.Funding:
        """What an owner allows an account, and what of it is spent on which day; all zero where there is nothing."""
        return await self._ask(abi.encode_funding_of(owner, operator, account), abi.decode_funding_of, at)

    def fund(self, owner: bytes, operator: bytes, account: bytes, contract_id: bytes) -> Call:
        """The call that brings the account's balance up to what a contract costs, or what a claim still lacks. Anybody
        may make it."""
        return Call(self.address, abi.encode_fund(owner, operator, account, contract_id), gas=_FUND_GAS)

    async def why_not(self, call: Call, sender: bytes) -> Reason | None:
        """Runs the call without doing it: None if it would work, else why it would not."""
        try:
            await self._reader.call(call.to, call.data, sender=sender)
        except RpcRefused as refused:
            return reason_of(refused, _reason) or Reason("Reverted", (), "The token did not move the money.")
        return None

    async def _ask(self, data: bytes, decode: Callable[[bytes], T], at: At = "latest") -> T:
        return await ask(self._reader, self.address, data, decode, "the allowances", at=at)
