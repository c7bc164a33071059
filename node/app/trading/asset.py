"""The asset at a gateway: it orders, measures what was delivered, pays and confirms; each step is a signed message."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence

from keys import messages as m
from keys.signers import LocalSigner
from node.app.core import Core, canonical, peer_of
from node.app.counters import Counters
from node.app.inbox import Inbox
from node.app.memory import Fact
from node.app.parcels import Post
from node.app.services import looped
from node.app.trading.assetactions import AssetActions
from node.app.trading.assetmoney import AssetMoney
from node.app.trading.assetnetcontracts import AssetNetContracts
from node.app.trading.assetnetleft import AssetNetLeft
from node.app.trading.assetnetting import AssetNetting
from node.app.trading.assettrades import AssetTrades
from node.app.trading.assetvoice import VALID_S, AssetVoice
from node.app.trading.markets import MarketTerms
from node.app.trading.netlines import net_domain_of
from node.app.trading.paying import OwnerPeer
from node.app.trading.verifying import TwinLogs
from node.errors import Conflict
from node.ledger.market import opened
from node.projection.settlement_events import OrderTerms, RequestedOrder
from node.runtime.supervisor import Service
from node.services.asset.orders import Wanted, check_wanted, order_message
from node.services.asset.rules import order_until
from node.services.market.netcontracts import check_order_day
from node.wire.settlement import OrderPlaced

__all__ = ["CONFIG", "AssetRole"]

EVERY_S = 0.5

CONFIG = "asset_config"
"""Namespace of facts: what the owner set last, and the operator of the market that it names."""


Beside = Callable[[bytes], Sequence[Fact]]
"""What is to be remembered of an order, by its id."""


def _nothing(_: bytes) -> Sequence[Fact]:
    return ()


class AssetRole:
    """One asset per gateway, with an account of its own in each market. `owner`: who funds it."""

    def __init__(self, core: Core, post: Post, shown: Counters, owner: OwnerPeer | None = None) -> None:
        self._core = core
        self.voice = AssetVoice(core, post)
        self.trades = AssetTrades(core, self.voice, shown, owner)
        self.actions = AssetActions(core, self.voice)
        self.money = AssetMoney(core, self.voice)
        self.netting = AssetNetting(core, self.voice)
        self.netted = AssetNetContracts(core, self.voice)
        self.left = AssetNetLeft(core, self.voice, self.netted)
        self.trades.deliveries.beside = self.netted
        self.trades.agreed = self.left.agreed

    def compare_with(self, twins: TwinLogs | None) -> None:
        """What is paid and signed for is compared with the contracts' digital twins, which are there."""
        self.trades.payments.twins = self.left.sales.twins = twins

    def register(self, inbox: Inbox) -> None:
        inbox.on("market.refusal", self.actions.take_refusal)
        self.netted.register(inbox)
        self.left.register(inbox)

    def service(self) -> Service:
        return Service("asset", looped(self._core.new_wake(), self.step, EVERY_S))

    async def step(self) -> bool:
        """Works off what changed since the last call."""
        if self._core.chain.market is not None:
            for delivery in await self.netted.waiting():
                self.trades.deliveries.watch(delivery)
            await self.left.all()
            await self.trades.step()
            await self.netted.step()
            await self.left.step()
        return False

    def account(self, operator: bytes) -> LocalSigner:
        """The account of this asset in the market of an operator."""
        return self.voice.signer(operator)

    async def markets(self) -> dict[bytes, MarketTerms]:
        """Where this asset trades, by operator."""
        return await self.voice.markets()

    async def join(self, url: str) -> bytes:
        """Makes a market's acquaintance, because a person wants it; returns its operator, for whom this asset has an
        account from now on."""
        return bytes((await self.voice.join(url, anew=True)).operator)

    async def order(self, url: str, wanted: Wanted, beside: Beside = _nothing) -> bytes:
        """Signs an offer or a request and sends it to the market. Returns its id.

        `beside`: facts about it that are kept with it or not at all.
        """
        core, now = self._core, self._core.clock.now()
        check_wanted(wanted, now)
        until = order_until(now, wanted.start, core.settings.settlement.offer_ttl_s, wanted.until)
        joined = await self.voice.join(url)
        domain = self.voice.domain()
        if joined.settle == "net":
            check_order_day(wanted.start, wanted.end)
            domain = net_domain_of(core)
        signer = self.account(joined.operator)
        device = core.keys.identity.device().address
        message = order_message(
            wanted, account=signer.address, device=device, operator=joined.operator, terms=joined.terms, until=until
        )
        signature = await signer.sign_message(message, domain)
        order_id = m.digest(message, domain)
        typed = m.typed_data(message, domain)
        body = OrderPlaced(typed=typed, signature=signature, card=core.card, details=wanted.details)
        terms = OrderTerms(wanted.sells, signer.address, wanted.wh, wanted.price, wanted.start, wanted.end, until)
        event = RequestedOrder(
            order_id,
            terms,
            m.stored_form(message, domain),
            signature,
            canonical(body.to_json()),
            peer_of(joined.card),
            now,
            canonical(wanted.details.to_json()) if wanted.details is not None else "",
        )
        await core.storage.memory.keep([event], beside(order_id))
        core.wake()
        return order_id

    async def require_running(self) -> None:
        """Raises Conflict where the owner paused or retired this asset: an order would be taken back at once."""
        settings = await self._core.storage.memory.facts.get(CONFIG, "config")
        status = settings["status"] if settings is not None else "running"
        if status == "paused":
            raise Conflict(
                "This asset is paused: it orders nothing.",
                remedy="`wattpact asset continue` at the home lets it trade.",
            )
        if status == "retired":
            raise Conflict("This asset is retired: it orders nothing.", remedy="Pair the gateway anew for a new asset.")

    async def deposit(self, url: str, amount: int) -> bytes:
        """Signs a deposit and the token's permit for it; the market brings both. Returns the deposit's digest.

        Raises Conflict where the asset's wallet has less.
        """
        now, views = self._core.clock.now(), self.voice.views()
        joined = await self.voice.join(url)
        await self.voice.require_money(joined.operator, amount)
        signer = self.account(joined.operator)
        money = await views.money()
        message = m.Deposit(
            account=signer.address,
            operator=joined.operator,
            amount=amount,
            nonce=secrets.randbits(256),
            deadline=now + VALID_S,
        )
        permit = m.Permit(
            owner=signer.address,
            spender=views.address,
            value=amount,
            nonce=await money.nonce(signer.address),
            deadline=now + VALID_S,
        )
        domain = await money.domain()
        opening = (opened(permit, domain), await signer.sign_message(permit, domain))
        return await self.voice.send(joined, message, opening)
