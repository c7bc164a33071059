"""The owner of an asset, at the home: what its asset may draw from the owner's wallet, and drawing it (M-27, A-29).

The asset asks, this node looks whether the allowance that the owner signed reaches, and makes the call. The contract
decides once more: an asset whose key is stolen costs its owner what was allowed for a day, and no more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog
from eth_utils.crypto import keccak

from contracts.bindings import dev_token
from keys import messages as m
from keys.parcel import Parcel
from node.app.core import Core
from node.app.inbox import Inbox, Kept
from node.app.submissions import submission_of
from node.errors import Conflict, InvalidInput, Refused
from node.ledger.allowances import AllowanceViews
from node.ledger.market import MarketViews
from node.ledger.transaction import Call, TxState
from node.types import short_id
from node.wire.settlement import FundWanted

__all__ = ["FUNDED", "Allowed", "OwnerFunds"]

_log = structlog.get_logger(__name__)

FUNDED = "owner_funding"
"""Namespace of facts: what assets asked to be funded, by contract: amount, whether it was done, and why not."""

NUMBERED = "allowance_numbers"
"""Namespace of facts: the nonce of the latest allowance that was signed, by operator and account."""

VALID_S = 3_600
_PERMIT_GAS = 150_000
AGAIN_S = 600


@dataclass(frozen=True, slots=True)
class Allowed:
    """What an owner allows: minor units a day and for one contract; `total` is what the token lets go for all assets
    together. Without one it is left as it is where a day's is covered: what other assets were allowed stays."""

    account: bytes
    operator: bytes
    per_day: int
    per_contract: int
    until: int
    total: int | None = None


@dataclass(frozen=True, slots=True)
class _Permit:
    """The latest permit that was signed here: the key of its transaction, its nonce and what it lets go."""

    key: bytes
    nonce: int
    total: int


class OwnerFunds:
    """`gateway` tells which account the paired gateway signs its parcels with; None while there is none."""

    def __init__(self, core: Core, gateway: Callable[[], Awaitable[bytes | None]]) -> None:
        self._core = core
        self._gateway = gateway
        self._owner = core.keys.identity.wallet()
        self._turn = asyncio.Lock()  # each numbers what it signs after the one before
        self._permitted: _Permit | None = None

    def register(self, inbox: Inbox) -> None:
        inbox.on("user.fund", self._take)

    def _contracts(self) -> tuple[AllowanceViews, MarketViews]:
        chain = self._core.chain
        if chain.funding is None or chain.market is None:
            raise Conflict("This node follows no allowances.", remedy="Set settlement.allowances.")
        return chain.funding, chain.market

    async def allow(self, wanted: Allowed) -> bytes:
        """Signs an allowance, and the token's permit for it; zero a day revokes. Returns the allowance's digest."""
        now = self._core.clock.now()
        if wanted.per_day and wanted.until <= now:
            raise InvalidInput("An allowance ends at a time that is still to come.", field="valid_until")
        async with self._turn:
            return await self._allow(wanted, now)

    async def _allow(self, wanted: Allowed, now: int) -> bytes:
        core = self._core
        funding, market = self._contracts()
        known = await funding.funding(self._owner.address, wanted.operator, wanted.account)
        # One that is on its way counts as well: with its number again, the later word would be refused as outdated.
        name = (wanted.operator + wanted.account).hex()
        signed = await core.storage.memory.facts.get(NUMBERED, name)
        nonce = max(known.nonce, int(signed["nonce"]) if signed else 0) + 1
        message = m.Allowance(
            owner=self._owner.address,
            account=wanted.account,
            operator=wanted.operator,
            per_day=wanted.per_day,
            per_contract=wanted.per_contract,
            valid_until=wanted.until,
            nonce=nonce,
            deadline=now + VALID_S,
        )
        domain = m.allowances_domain(core.settings.chain.chain_id, funding.address)
        wish = submission_of(core, message, [await self._owner.sign_message(message, domain)], (), domain)
        await core.storage.memory.keep([wish], [(NUMBERED, name, {"nonce": nonce})])
        await self._permit(funding, market, wanted)
        core.wake()
        return wish.digest

    async def _permit(self, funding: AllowanceViews, market: MarketViews, wanted: Allowed) -> None:
        """What the token lets the contract draw: what was said, or at least a day's and never less than before."""
        money, sender, now = await market.money(), self._core.chain.sender, self._core.clock.now()
        nonce = await money.nonce(self._owner.address)
        before = self._permitted
        known = await sender.find(before.key) if before is not None and before.nonce >= nonce else None
        if before is not None and known is not None and known.state is not TxState.REFUSED:
            nonce, lets = before.nonce + 1, before.total  # it is mined before this one
        else:
            lets = await money.allowance(self._owner.address, funding.address)
        total = wanted.per_day if wanted.total is None else wanted.total
        if wanted.total is None and lets >= total:
            return
        permit = m.Permit(self._owner.address, funding.address, total, nonce, now + VALID_S)
        domain = await money.domain()
        raw = await self._owner.sign_message(permit, domain)
        data = dev_token.encode_permit(
            permit.owner, permit.spender, permit.value, permit.deadline, raw[64], raw[:32], raw[32:64]
        )
        key = m.digest(permit, domain)
        # Its gas is not asked for: a permit counts only once the one before it does, which may be under way.
        await sender.submit(key, Call(money.address, data, gas=_PERMIT_GAS, known_gas=_PERMIT_GAS))
        self._permitted = _Permit(key, nonce, total)

    async def _take(self, parcel: Parcel) -> Kept:
        """An asset lacks money for a contract. Raises Refused, naming what the allowance leaves."""
        if parcel.sender != await self._gateway():
            raise Refused("Only the paired gateway's asset is funded.", remedy="Pair with it first.")
        body = FundWanted.model_validate(parcel.body)
        funding, _ = self._contracts()
        call = funding.fund(self._owner.address, body.operator, body.account, body.contract)
        reason = await funding.why_not(call, self._core.chain.sender.address)
        name, now = bytes(body.contract).hex(), self._core.clock.now()
        if reason is not None:
            _log.warning(
                "funding_refused", contract=short_id(bytes(body.contract)), missing=body.missing, reason=str(reason)
            )
            told = {"missing": body.missing, "done": False, "reason": str(reason), "at": now}
            await self._core.storage.memory.keep((), [(FUNDED, name, told)])
            raise Refused(f"The owner does not fund this: {reason}", remedy="Raise the allowance, or fund it by hand.")
        # The same request again, before the first was mined, finds the first.
        span = (now // AGAIN_S).to_bytes(8, "big")
        key = bytes(keccak(b"fund" + bytes(body.contract) + body.missing.to_bytes(12, "big") + span))
        await self._core.chain.sender.submit(key, call, again=True)
        told = {"missing": body.missing, "done": True, "reason": "", "at": now}
        return Kept((), ((FUNDED, name, told),))

    async def asked(self) -> dict[str, dict[str, object]]:
        """What assets asked for, by contract."""
        found: dict[str, dict[str, object]] = await self._core.storage.memory.facts.all(FUNDED)
        return found
