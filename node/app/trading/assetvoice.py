"""What an asset says in its markets: its accounts there, the markets' terms, and signed words on their way to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from eth_utils.crypto import keccak

from contracts.bindings import market as abi
from keys import messages as m
from keys.eip712 import Domain
from keys.signers import LocalSigner
from node.app.cards import fetch_card
from node.app.core import Core, canonical, peer_of
from node.app.parcels import Post
from node.app.trading.markets import MarketTerms, fetch_terms
from node.app.trading.orderterms import terms_named
from node.errors import Conflict, InvalidInput, Refused
from node.ledger.market import MarketViews
from node.projection.order import Order
from node.projection.settlement_events import RequestedTradeWord
from node.projection.trade import Trade
from node.wire.settlement import SignedMessage

__all__ = ["VALID_S", "AssetVoice"]

MARKET = "asset_market"
"""Namespace of facts: the markets that this asset trades in, by operator: card and terms."""

PLACE = "asset_market_place"
"""Namespace of facts: the operator that was met at an address, by the hash of the address."""

VALID_S = 3_600
"""How long a word about a contract may be brought onto the chain."""


class AssetVoice:
    """One asset per gateway, with an account of its own in each market."""

    def __init__(self, core: Core, post: Post) -> None:
        self._core = core
        self.post = post
        self._signers: dict[bytes, LocalSigner] = {}
        self._markets: dict[bytes, MarketTerms] | None = None
        self._terms: dict[bytes, abi.Terms] = {}
        self.accounts: dict[bytes, bytes] = {}
        """Operator by account, of every market that was joined; filled by `markets`."""

    def signer(self, operator: bytes) -> LocalSigner:
        """The account of this asset in the market of an operator."""
        if operator not in self._signers:
            self._signers[operator] = self._core.keys.identity.asset("0x" + operator.hex())
        return self._signers[operator]

    def views(self) -> MarketViews:
        """Raises Conflict on a node without a market contract."""
        if self._core.chain.market is None:
            raise Conflict("This node follows no market.", remedy="Set settlement.market.")
        return self._core.chain.market

    async def require_money(self, operator: bytes, amount: int) -> None:
        """Raises Conflict where this asset's own wallet has less: the market would be refused, and tell nobody."""
        there = await (await self.views().money()).balance(self.signer(operator).address)
        if amount > there:
            raise Conflict(
                f"The asset's wallet has {there} minor units.",
                remedy="Fund it at the home first (`wattpact asset fund`); `wattpact market accounts` shows it.",
            )

    def domain(self) -> Domain:
        return m.market_domain(self._core.settings.chain.chain_id, self.views().address)

    async def markets(self) -> dict[bytes, MarketTerms]:
        """Where this asset trades, by operator."""
        if self._markets is None:
            found = await self._core.storage.memory.facts.all(MARKET)
            self._markets = {bytes.fromhex(key): MarketTerms.model_validate(value) for key, value in found.items()}
            self.accounts = {self.signer(operator).address: operator for operator in self._markets}
        return self._markets

    async def join(self, url: str, *, anew: bool = False) -> MarketTerms:
        """The market's card and terms, checked against what the chain says, and remembered.

        The operator of the terms on chain is the market: its card may change under that key's signature. Another one
        that answers at the same address is another market, and is met only when a person says so (`anew`, A-31).
        """
        core, known = self._core, await self.markets()
        card = await fetch_card(core, url)
        found = await fetch_terms(core, url)
        terms = await self.views().terms(found.terms)
        if terms.operator != card.address:
            raise InvalidInput("The market's terms are not on chain under its name.", field="market")
        place = (PLACE, bytes(keccak(url.rstrip("/").encode())).hex())
        met = await core.storage.memory.facts.get(*place)
        if met not in (None, card.address.hex()) and not anew:
            raise Refused("Another market answers at this address than before.", remedy="Join it, if that is meant.")
        if met != card.address.hex():
            await core.storage.memory.keep((), [(*place, card.address.hex())])
        joined = MarketTerms(
            operator=card.address,
            terms=found.terms,
            card=card,
            settle=found.settle,
            slot_s=found.slot_s,
            gate_closure_s=found.gate_closure_s,
            energies=found.energies,
        )
        if known.get(card.address) != joined:
            await core.storage.memory.keep((), [(MARKET, card.address.hex(), joined.to_json())])
            known[card.address] = joined
            self.accounts[self.signer(card.address).address] = card.address
        return joined

    async def terms(self, terms_id: bytes) -> abi.Terms:
        """Published terms never change, so they are asked for once."""
        known = self._terms.get(terms_id)
        if known is None:
            known = await self.views().terms(terms_id)
            if any(known.operator):
                self._terms[terms_id] = known
        return known

    async def agreed(self, order_id: bytes) -> abi.Terms | None:
        """The terms that an own order named: those of its contracts for good. None for an order of somebody else."""
        order = await self._core.storage.views.one(Order, order_id)
        named = terms_named(order) if order.own else None
        return None if named is None else await self.terms(named)

    async def word(self, operator: bytes, message: m.Message, opening: Sequence[bytes] = ()) -> Mapping[str, Any]:
        """A signed message as a parcel's body."""
        signature = await self.signer(operator).sign_message(message, self.domain())
        typed = m.typed_data(message, self.domain())
        return SignedMessage(typed=typed, signatures=(signature,), opening=tuple(opening)).to_json()

    async def send(self, joined: MarketTerms, message: m.Message, opening: Sequence[bytes] = ()) -> bytes:
        """Signs and hands over at once; returns the digest. Raises NodeUnreachable or PermanentFailure."""
        body = await self.word(bytes(joined.operator), message, opening)
        await self.post.send(peer_of(joined.card), "market.word", body, VALID_S)
        return m.digest(message, self.domain())

    async def say(
        self, trades: Sequence[Trade], joined: MarketTerms, message: m.Message, opening: Sequence[bytes] = ()
    ) -> bool:
        """Signs and sends, unless the same was said and may still be on its way; tells whether it was sent."""
        now, kind = self._core.clock.now(), _kind(message)
        word = trades[0].word(kind)
        if word is not None and word.until >= now:
            return False
        body = await self.word(bytes(joined.operator), message, opening)
        event = RequestedTradeWord(
            tuple(trade.contract_id for trade in trades),
            kind,
            m.digest(message, self.domain()),
            canonical(body),
            now + VALID_S,
            peer_of(joined.card),
            now,
        )
        await self._core.storage.memory.keep([event])
        self._core.wake()
        return True


def _kind(message: m.Message) -> str:
    """Three reminders are three words; of everything else there is one at a time."""
    name = type(message).__name__
    return f"{name}{message.number}" if isinstance(message, m.Remind) else name
