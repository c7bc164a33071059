"""Money of an asset on its way out of a market's book: asked for by its signature, and taken when the wait is over."""

from __future__ import annotations

import secrets

from eth_utils.crypto import keccak

from contracts.bindings import market as abi
from keys import messages as m
from node.app.core import Core
from node.app.trading.assetnetsales import moment
from node.app.trading.assetvoice import VALID_S, AssetVoice
from node.errors import Conflict
from node.ledger.errors import RpcRefused
from node.ledger.market import early_until, refusal_of
from node.ledger.transaction import Call

__all__ = ["AssetMoney"]

_GAS = 150_000


class AssetMoney:
    """Each call names the market by its address, and returns the digest of what was signed or sent."""

    def __init__(self, core: Core, voice: AssetVoice) -> None:
        self._core = core
        self._voice = voice

    async def withdraw(self, url: str, amount: int) -> bytes:
        """From the book towards this asset's own wallet. It waits as the contract says: until then claims reach it."""
        joined = await self._voice.join(url)
        operator = bytes(joined.operator)
        account = self._voice.signer(operator).address
        free = await self._voice.views().balance(operator, account)
        if amount > free:
            raise Conflict(f"Only {free} are free in that book.", remedy="Wait for what is reserved, or take less.")
        now = self._core.clock.now()
        message = m.Withdraw(account, operator, amount, secrets.randbits(256), now + VALID_S)
        return await self._voice.send(joined, message)

    async def take_out(self, url: str) -> bytes:
        """What was withdrawn goes to this asset's wallet. Raises Conflict before the wait is over."""
        operator = bytes((await self._voice.join(url)).operator)
        account, views = self._voice.signer(operator).address, self._voice.views()
        call = Call(views.address, abi.encode_take_out(operator, account), gas=_GAS)
        try:
            await self._core.chain.rpc.call(call.to, call.data, sender=self._core.chain.sender.address)
        except RpcRefused as refused:
            until = early_until(refused)
            if until is not None:
                raise Conflict(
                    f"Nothing can be taken out before {moment(until)}.", remedy="Try again then."
                ) from refused
            raise Conflict(
                f"Nothing can be taken out: {refusal_of(refused)}",
                remedy="`wattpact market withdraw AMOUNT` asks for it first.",
            ) from refused
        key = bytes(keccak(b"take out" + operator + account + self._core.clock.now().to_bytes(8, "big")))
        await self._core.chain.sender.submit(key, call)
        return key
