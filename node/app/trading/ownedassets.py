"""The owner's assets, at the home: set up and changed, paused, continued and retired from afar (M-72 to M-79).

The gateway's asset obeys its paired owner alone. What a person wrote about it is sealed by a key of its own, which is
deleted when the asset is retired.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog
from eth_utils.crypto import keccak

from contracts.bindings import dev_token
from keys import messages as m
from keys.parcel import Parcel
from node.app.core import Core
from node.app.inbox import Inbox, Kept
from node.app.parcels import Post
from node.app.services import looped
from node.app.trading.personal import Personal
from node.config import DEVNET_CHAIN_ID
from node.errors import Busy, Conflict, InvalidInput, NodeUnreachable, NotFound, Refused
from node.ledger.errors import RpcRefused
from node.ledger.market import Money
from node.ledger.transaction import Call
from node.projection.base import Peer
from node.runtime.errors import PermanentFailure
from node.runtime.supervisor import Service
from node.wire.assets import PERSONAL, AssetConfig, AssetTold

__all__ = ["Gateway", "OwnedAsset", "OwnedAssets"]

OWNED, ACCOUNTS, FUNDED = "owned_asset", "owned_asset_account", "owned_asset_fund"
"""Namespaces of facts: the settings that an asset took, and its account in its market, by the gateway's address; money
that is given to an asset by hand, by the key of its transfer."""

EVERY_S = 2.0
_GAS = 150_000

VALID_S = 600

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Gateway:
    """The paired gateway: the address of its device, and where it takes parcels."""

    device: bytes
    peer: Peer


@dataclass(frozen=True, slots=True)
class OwnedAsset:
    """`told` is None until the asset has said which account it has in its market."""

    device: bytes
    config: AssetConfig
    told: AssetTold | None


class OwnedAssets:
    """`gateway` finds the paired gateway; None while there is none."""

    def __init__(self, core: Core, post: Post, gateway: Callable[[], Awaitable[Gateway | None]]) -> None:
        self._core = core
        self._post = post
        self._gateway = gateway
        self._personal = Personal(core.keys.keystore)

    def register(self, inbox: Inbox) -> None:
        inbox.on("user.asset", self._take)

    async def all(self) -> tuple[OwnedAsset, ...]:
        """All that were ever set up; the retired ones have no words any more."""
        facts = self._core.storage.memory.facts
        told, found = await facts.all(ACCOUNTS), []
        for name, stored in (await facts.all(OWNED)).items():
            words = self._personal.open(name, stored["personal"])
            config = AssetConfig.model_validate({**stored["config"], **words})
            said = AssetTold.model_validate(told[name]) if name in told else None
            found.append(OwnedAsset(bytes.fromhex(name), config, said))
        return tuple(found)

    async def one(self, device: bytes) -> OwnedAsset:
        """Raises NotFound."""
        for each in await self.all():
            if each.device == device:
                return each
        raise NotFound("This household has set up no such asset.", remedy="`wattpact asset list` shows all.")

    async def configure(self, config: AssetConfig) -> OwnedAsset:
        """The paired gateway's asset trades like this from now on; its first settings register it at the market.

        Raises Refused where the asset or its market will not have it, NodeUnreachable where one does not answer.
        """
        gateway = await self._gateway()
        if gateway is None:
            raise Conflict("No gateway is paired.", remedy="Pair with it first: wattpact pair <code>.")
        await self._send(gateway, config)
        return await self.one(gateway.device)

    async def change(self, device: bytes, status: str) -> OwnedAsset:
        """Pauses, continues or retires. A retired asset stays so, and its personal words are gone for good."""
        known, gateway = await self.one(device), await self._gateway()
        if known.config.status == "retired":
            if status == "retired":
                return known
            raise Conflict("This asset is retired.", remedy="Pair a new one; what it did stays provable.")
        if gateway is None or gateway.device != device:
            raise Conflict("That gateway is not paired any more.", remedy="It takes settings of its owner alone.")
        config = AssetConfig.model_validate({**known.config.to_json(), "status": status})
        await self._send(gateway, config)
        return await self.one(device)

    async def fund(self, device: bytes, amount: int) -> bytes:
        """Money of the main wallet for the asset's own wallet, by hand (M-62). Returns the transfer's key.

        Raises Conflict where the asset is not known well enough, or the wallet has less.
        """
        asset = await self.one(device)
        if asset.told is None:
            raise Conflict("The asset has not told its account yet.", remedy="Try again when it was reached.")
        return await self._give(bytes(asset.told.account), amount)

    async def withdraw(self, to: bytes, amount: int) -> bytes:
        """Money of the main wallet for any account (M-73). Returns the transfer's key.

        Raises InvalidInput for an account that cannot be meant, Conflict where the wallet has less.
        """
        if not any(to) or to == self._core.keys.identity.wallet().address:
            raise InvalidInput("This is no account to send money to.", field="receiver")
        return await self._give(to, amount)

    async def test_money(self, amount: int) -> bytes:
        """Money from nothing for the main wallet, where it is worth nothing (M-73). Raises Refused elsewhere."""
        core = self._core
        if core.settings.chain.chain_id != DEVNET_CHAIN_ID:
            raise Refused("Only a devnet's money is made from nothing.", remedy="Send it to the main wallet's account.")
        key, to = os.urandom(32), (await self._money()).address
        data = dev_token.encode_mint(core.keys.identity.wallet().address, amount)
        await core.chain.sender.submit(key, Call(to, data, gas=_GAS))
        return key

    async def _money(self) -> Money:
        if self._core.chain.market is None:
            raise Conflict("This node follows no market.", remedy="Set settlement.market.")
        return await self._core.chain.market.money()

    async def _give(self, to: bytes, amount: int) -> bytes:
        """A permit of the wallet for the sender, which moves the money once the permit is on chain."""
        core = self._core
        money, wallet, now = await self._money(), core.keys.identity.wallet(), core.clock.now()
        waiting = await core.storage.memory.facts.all(FUNDED)
        if any(wish["state"] == "allowed" for wish in waiting.values()):
            # Both would be signed with the same nonce, and one of them would come to nothing.
            raise Busy("Another transfer is on its way.", remedy="Try again in some seconds.")
        there = await money.balance(wallet.address)
        if amount > there:
            raise Conflict(f"The main wallet has {there}.", remedy="Add funds to it first.")
        sender = core.chain.sender
        permit = m.Permit(wallet.address, sender.address, amount, await money.nonce(wallet.address), now + VALID_S)
        domain = await money.domain()
        raw = await wallet.sign_message(permit, domain)
        allow = dev_token.encode_permit(
            permit.owner, permit.spender, permit.value, permit.deadline, raw[64], raw[:32], raw[32:64]
        )
        key = bytes(keccak(b"fund by hand" + m.digest(permit, domain)))
        await sender.submit(m.digest(permit, domain), Call(money.address, allow, gas=_GAS))
        wish = {"to": to.hex(), "amount": amount, "until": now + VALID_S, "state": "allowed"}
        await core.storage.memory.keep((), [(FUNDED, key.hex(), wish)])
        core.wake()
        return key

    def service(self) -> Service:
        return Service("owned assets", looped(self._core.new_wake(), self.step, EVERY_S))

    async def step(self) -> bool:
        """Moves what a permit allows by now: the chain does not take the one before the other."""
        core, market = self._core, self._core.chain.market
        if market is None:
            return False
        for name, wish in (await core.storage.memory.facts.all(FUNDED)).items():
            if wish["state"] != "allowed":
                continue
            owner, to = core.keys.identity.wallet().address, bytes.fromhex(wish["to"])
            data = dev_token.encode_transfer_from(owner, to, wish["amount"])
            call, state = Call((await market.money()).address, data, gas=_GAS), "sent"
            try:
                await core.chain.rpc.call(call.to, call.data, sender=core.chain.sender.address)
                await core.chain.sender.submit(bytes.fromhex(name), call)
            except RpcRefused as refused:
                if core.clock.now() <= wish["until"]:
                    continue
                state = "failed"
                _log.warning("asset_not_funded", reason=str(refused))
            await core.storage.memory.keep((), [(FUNDED, name, {**wish, "state": state})])
        return False

    async def _send(self, gateway: Gateway, config: AssetConfig) -> None:
        try:
            await self._post.send(gateway.peer, "asset.init", config.to_json(), VALID_S)
        except PermanentFailure as refused:
            raise Refused(
                f"The asset does not take these settings: {refused}",
                remedy="Change what it names, or the market's address.",
            ) from refused
        except NodeUnreachable as silent:
            raise NodeUnreachable(
                f"Nothing was changed: {silent.message}", remedy="Check the market's address, or try again later."
            ) from silent
        name, document = gateway.device.hex(), config.to_json()
        words = {field: document.pop(field) for field in PERSONAL}
        retired = config.status == "retired"
        if retired:
            self._personal.erase(name)
        sealed = "" if retired else self._personal.seal(name, words)
        await self._core.storage.memory.keep((), [(OWNED, name, {"config": document, "personal": sealed})])

    async def _take(self, parcel: Parcel) -> Kept:
        """The asset says which account it has in its market."""
        gateway = await self._gateway()
        if gateway is None or parcel.sender != gateway.device:
            raise Refused("Only the paired gateway's asset is known here.", remedy="Pair with it first.")
        told = AssetTold.model_validate(parcel.body)
        return Kept((), ((ACCOUNTS, gateway.device.hex(), told.to_json()),))
