"""What a market tells the partners of a contract, and the register of its assets (M-2 to M-7, M-11, M-14 to M-20).

The chain tells all of it too. A notice makes an asset look at once, and is the market's signed word for the audit.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType

from keys.errors import KeysError
from keys.messages import parcel_domain, verify
from keys.parcel import Parcel
from node.app.core import Core, canonical
from node.app.inbox import Inbox, Kept
from node.app.parcels import NOBODY
from node.app.trading.knownorders import KnownOrders
from node.app.trading.personal import Personal
from node.errors import Conflict, Refused
from node.projection.base import Peer
from node.projection.settlement_events import RequestedTradeNotice
from node.projection.trade import Trade
from node.projection.tradedue import TradeStatus, seed_of
from node.wire.assets import REGISTRATION_VALID_S, AssetRegistered, TradeNotice, registration_statement

__all__ = ["ASSETS", "MarketNotices"]

ASSETS = "market_asset"
"""Namespace of facts: registered assets, by account."""

NOTICE_S = 3 * 86_400
TOLERANCE_S = 120
_BOTH, _SELLER, _BUYER = ("seller", "buyer"), ("seller",), ("buyer",)

TOLD: Mapping[TradeStatus, tuple[str, tuple[str, ...]]] = MappingProxyType(
    {
        TradeStatus.MATCHED: ("asset.contract", _BOTH),
        TradeStatus.DELIVERED: ("asset.payment", _BUYER),
        TradeStatus.PAID: ("asset.payment_sent", _SELLER),
        TradeStatus.CONFIRMED: ("asset.payment_confirmed", _BUYER),
        TradeStatus.CLAIMED: ("asset.claim", _BUYER),
        TradeStatus.CANCELLED: ("asset.cancel", _BOTH),
    }
)
"""Status of a contract -> kind of notice, and to whom."""


class MarketNotices:
    """The assets of this market, and what is to be told to them."""

    def __init__(self, core: Core, orders: KnownOrders) -> None:
        self._core = core
        self._orders = orders
        self._personal = Personal(core.keys.keystore)
        self._names: frozenset[str] | None = None
        self._fresh: set[str] = set()
        self._over: set[bytes] = set()
        self.on_retired: Callable[[], None] | None = None
        """Whoever wants to know that an account is over for good."""

    def register(self, inbox: Inbox) -> None:
        inbox.on("market.register", self._take)

    async def _take(self, parcel: Parcel) -> Kept:
        body = AssetRegistered.model_validate(parcel.body)
        known = await self.registered(bytes(body.account))
        if known is not None and body.status == "retired" and parcel.sender == known.revocation:
            # Whoever holds this key ends the asset, and changes nothing else of it.
            return Kept((), (self._stored(known.model_copy(update={"status": "retired"})),))
        if parcel.sender != body.card.address:
            raise Refused("The asset shows another party's card.", field="card.address")
        if known is not None and parcel.sender != known.card.address:
            raise Refused("That account is registered by another node.", field="account")
        self._verify(body)
        if known is not None and known.status == "retired" and body.status != "retired":
            raise Conflict("This asset is retired.", remedy="Register a new one.")
        if known is not None and body.signed_at < known.signed_at:
            raise Conflict("The asset was registered anew since this was signed.", remedy="Sign it again.")
        return Kept((), (self._stored(body),))

    def _stored(self, body: AssetRegistered) -> tuple[str, str, object]:
        """Where an asset is lies sealed; of a retired one the key is deleted, and nothing of it is read any more."""
        name, document = bytes(body.account).hex(), body.to_json()
        self._fresh.add(name)
        words = {"area": document.pop("area")}
        if body.status == "retired":
            self._personal.erase(name)
            self._over.add(bytes(body.account))
            if self.on_retired is not None:
                self.on_retired()
        return ASSETS, name, {**document, "personal": "" if body.status == "retired" else self._sealed(name, words)}

    def _sealed(self, name: str, words: Mapping[str, str]) -> str:
        return self._personal.seal(name, words) if any(words.values()) else ""

    def _verify(self, body: AssetRegistered) -> None:
        """Nobody registers an account but by its own signature, for this market and of now."""
        now, core = self._core.clock.now(), self._core
        if body.signature is None:
            raise Refused("The registration is not signed by the account it names.", field="signature")
        statement = registration_statement(body, core.keys.identity.wallet().address)
        if not now - REGISTRATION_VALID_S <= body.signed_at <= now + TOLERANCE_S:
            raise Refused("The registration is not of now.", field="signed_at", remedy="Check both clocks.")
        try:
            verify(statement, parcel_domain(core.settings.chain.chain_id), body.signature, bytes(body.account))
        except KeysError as error:
            raise Refused(
                f"The registration is not signed by the account it names: {error}.", field="signature"
            ) from error

    async def registered(self, account: bytes) -> AssetRegistered | None:
        found = await self._core.storage.memory.facts.get(ASSETS, account.hex())
        if found is None:
            return None
        words = {"area": "", **self._personal.open(account.hex(), found.pop("personal", ""))}
        return AssetRegistered.model_validate({**words, **found})

    async def retired(self, accounts: Collection[bytes]) -> frozenset[bytes]:
        """Which of these are retired; one that never registered is known by its orders alone."""
        if self._names is None:
            self._names = frozenset(await self._core.storage.memory.facts.all(ASSETS))
        # Not registered at the start, and not since: there is certainly nothing to read.
        names = [name for each in accounts if (name := each.hex()) in self._names or name in self._fresh]
        found = await self._core.storage.memory.facts.many(ASSETS, names) if names else {}
        return frozenset(bytes.fromhex(name) for name, each in found.items() if each["status"] == "retired")

    async def all_retired(self) -> frozenset[bytes]:
        """Every account that is over, what is being written down at this moment included."""
        found = await self._core.storage.memory.facts.all(ASSETS)
        return frozenset({*self._over, *(bytes.fromhex(n) for n, each in found.items() if each["status"] == "retired")})

    async def of(self, trade: Trade) -> tuple[RequestedTradeNotice, ...]:
        """What its partners have not been told yet."""
        terms = trade.terms
        if terms is None or not self._core.settings.market.notices:
            return ()
        if trade.status is TradeStatus.DELIVERED and not trade.settled:
            return ()  # payment is requested for what no reorganisation can take back (M-33)
        kind, sides = TOLD.get(trade.status, ("", ()))
        number = trade.reminders if trade.status is TradeStatus.DELIVERED else 0
        if number:
            kind = "asset.payment_reminder"
        names = {side: f"{kind} {side} {number}" for side in sides}
        untold = {
            side: terms.offer if side == "seller" else terms.request for side in sides if not trade.word(names[side])
        }
        orders = await self._orders.many(untold.values())
        return tuple(
            self._notice(trade, names[side], kind, peer)
            for side, order in untold.items()
            if order in orders and (peer := orders[order].peer) is not None and not peer.url.endswith(NOBODY)
        )

    def _notice(self, trade: Trade, name: str, kind: str, peer: Peer) -> RequestedTradeNotice:
        now, terms, delivered = self._core.clock.now(), trade.made[-1], trade.delivered
        body = TradeNotice(
            contract=trade.contract_id,
            status=trade.status.value,
            seed_status=seed_of(trade.status, trade.settled),
            wh=delivered.wh if delivered else terms.wh,
            price=terms.price,
            due=delivered.amount if delivered else terms.amount,
            reminders=trade.reminders,
            at=now,
        )
        body_text = canonical(body.to_json())
        return RequestedTradeNotice(trade.contract_id, name, peer, kind, body_text, now + NOTICE_S, now)
