"""An asset whose trades are netted: it signs a mandate, money for it, and what it owes, line by line."""

from __future__ import annotations

import secrets

from keys import messages as m
from node.app.core import Core, peer_of
from node.app.trading.assetvoice import VALID_S, AssetVoice
from node.app.trading.netlines import net_domain_of
from node.app.trading.netmoney import net_deposit
from node.errors import Conflict, InvalidInput
from node.wire.settlement import NetLineSigned, SignedMessage

__all__ = ["AssetNetting"]


class AssetNetting:
    """Each call names the market by its address."""

    def __init__(self, core: Core, voice: AssetVoice) -> None:
        self._core = core
        self._voice = voice

    async def mandate(self, url: str, most_a_day: int, until: int) -> bytes:
        """The market may take up to so many minor units a day until then; 0 revokes. Returns its digest."""
        joined = await self._voice.join(url)
        views = self._core.chain.netting
        if views is None:
            raise Conflict("This node follows no net settlement.", remedy="Set settlement.net_settlement.")
        operator, account = bytes(joined.operator), self._voice.signer(bytes(joined.operator)).address
        known = await views.member(operator, account)
        now = self._core.clock.now()
        if most_a_day and until <= now:
            raise InvalidInput("A mandate ends at a time that is still to come.", field="valid_until")
        message = m.NetMandate(account, operator, most_a_day, until, known.serial + 1, now + VALID_S)
        return await self._send(url, message)

    async def deposit(self, url: str, amount: int) -> bytes:
        """Puts money of the asset's wallet into the market's book of the net settlement. Returns its digest.

        Raises Conflict where the wallet has less.
        """
        operator = bytes((await self._voice.join(url)).operator)
        message, opening = await net_deposit(self._core, self._voice.signer(operator), operator, amount)
        return await self._send(url, message, *opening)

    async def owe(self, url: str, seller: bytes, wh: int, price: int, start: int, end: int) -> bytes:
        """Signs what was delivered by a seller in [start, end), to be netted on that day. Returns the request's id."""
        joined, domain = await self._voice.join(url), net_domain_of(self._core)
        signer = self._voice.signer(bytes(joined.operator))
        message = m.Request(
            account=signer.address,
            operator=bytes(joined.operator),
            terms=bytes(joined.terms),
            partner=seller,
            device=self._core.keys.identity.device().address,
            wh=wh,
            price=price,
            start=start,
            end=end,
            nonce=secrets.randbits(256),
            deadline=self._core.clock.now() + VALID_S,
        )
        signature = await signer.sign_message(message, domain)
        typed = m.typed_data(message, domain)
        body = NetLineSigned(typed=typed, signature=signature, seller=seller, wh=wh, price=price)
        await self._voice.post.send(peer_of(joined.card), "market.netline", body.to_json(), VALID_S)
        return m.digest(message, domain)

    async def _send(self, url: str, message: m.NetMandate | m.Deposit, *opening: bytes) -> bytes:
        joined, domain = await self._voice.join(url), net_domain_of(self._core)
        signature = await self._voice.signer(bytes(joined.operator)).sign_message(message, domain)
        body = SignedMessage(typed=m.typed_data(message, domain), signatures=(signature,), opening=tuple(opening))
        await self._voice.post.send(peer_of(joined.card), "market.mandate", body.to_json(), VALID_S)
        return m.digest(message, domain)
