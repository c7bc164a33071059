"""The market operator: takes orders, and brings its assets' words onto the chain.

`ordertaking` takes them, `matching` matches them; here are the market's terms.
"""

from __future__ import annotations

from eth_utils.crypto import keccak

from contracts.bindings import market as abi
from node.app.core import Core
from node.app.inbox import Inbox
from node.app.services import looped
from node.app.trading.anchoring import Anchoring
from node.app.trading.bidlink import BidLink
from node.app.trading.deciding import EvidenceDesk
from node.app.trading.desk import MarketDesk
from node.app.trading.knownorders import KnownOrders
from node.app.trading.marketduties import MarketDuties
from node.app.trading.marketnotices import MarketNotices
from node.app.trading.matching import Matching
from node.app.trading.netting import NetCycle
from node.app.trading.ordertaking import OrderTaking
from node.ledger.transaction import Call
from node.runtime.supervisor import Service

__all__ = ["MarketRole"]


EVERY_S = 0.5


class MarketRole:
    """One market: one book for each time of delivery. The operator is this node's wallet."""

    def __init__(self, core: Core) -> None:
        self._core = core
        orders = KnownOrders(core)
        self.notices = MarketNotices(core, orders)
        self.duties = MarketDuties(core, self.notices, orders)
        self.netting = NetCycle(core)
        nets = core.settings.market.settle == "net"
        self.anchoring = Anchoring(core)
        self.evidence = EvidenceDesk(core)
        self._terms: bytes | None = None
        self._own_terms: bytes | None = None
        netted = self.netting.contracts if nets else None
        self.matching = Matching(core, orders, lambda: self.terms_id, netted)
        self.matching.retired = self.notices.all_retired
        self.notices.on_retired = self.matching.begin_again
        remote = self.matching.remote
        self.bids = BidLink(core, self.matching, remote) if remote is not None else None
        self.matching.lines = self.netting.left.all
        self.taking = OrderTaking(
            core, orders, self.matching, self.notices, lambda: self.terms_id, self.netting, nets=nets
        )
        self.desk = MarketDesk(core, orders, self.operator, netted)

    def register(self, inbox: Inbox) -> None:
        self.taking.register(inbox)
        self.netting.lines.register(inbox)
        self.netting.contracts.register(inbox)
        self.evidence.register(inbox)
        self.notices.register(inbox)

    def service(self) -> Service:
        return Service("market", looped(self._core.new_wake(), self.step, EVERY_S))

    @property
    def operator(self) -> bytes:
        """The account that orders name and that signs matches."""
        return self.matching.operator

    # Terms

    def terms(self) -> abi.Terms:
        """What this market promises, by its settings."""
        chosen = self._core.settings.market
        return abi.Terms(
            self.operator,
            chosen.arbiter or self.operator,
            chosen.start_grace_s,
            chosen.provision_grace_s,
            chosen.payment_due_s,
            chosen.reminder_every_s,
            chosen.dispute_window_s,
            chosen.ruling_window_s,
            chosen.penalty_bps,
            chosen.cancel_bps,
            chosen.escrow,
        )

    @property
    def terms_id(self) -> bytes:
        """Their id on chain: the hash of their ABI encoding."""
        if self._own_terms is None:
            self._own_terms = bytes(keccak(abi.encode_publish_terms(self.terms())[4:]))
        return self._own_terms

    async def _published(self) -> bool:
        """Whether the terms stand on chain; asks for it where they do not."""
        if self._terms == self.terms_id:
            return True
        market = self._core.chain.market
        assert market is not None  # noqa: S101 (the role is not started without one)
        found = await market.terms(self.terms_id)
        if found.operator == self.operator:
            self._terms = self.terms_id
            return True
        data = abi.encode_publish_terms(self.terms())
        await self._core.chain.sender.submit(self.terms_id, Call(market.address, data, gas=300_000), again=True)
        return False

    # Matching

    async def step(self) -> bool:
        """Looks for matches."""
        if self._core.chain.market is None or not await self._published():
            return False
        await self.matching.step()
        return False
