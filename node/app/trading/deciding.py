"""What decides between two words about a delivery: a meter's signed counters, or the arbiter of the terms."""

from __future__ import annotations

from eth_utils.crypto import keccak

from contracts.bindings import market as abi
from keys import messages as m
from keys.parcel import Parcel
from node.app.core import Core
from node.app.inbox import Inbox, Kept
from node.app.submissions import submission_of
from node.app.trading.matchsigning import market_domain_of
from node.errors import Conflict, NotFound, Refused
from node.ledger.errors import RpcRefused
from node.ledger.market import MarketViews, market_call, refusal_of
from node.ledger.transaction import Call
from node.projection.order import Order
from node.projection.submission import Submission
from node.projection.trade import Trade, TradeStatus
from node.wire.settlement import EvidenceGiven

__all__ = ["Arbiter", "EvidenceDesk"]

GAS = 400_000
VALID_S = 3_600
_CALLS = {3: abi.encode_measure, 8: abi.encode_measure_claim}
"""State of the contract -> what evidence does in it: Contested, Disputed (MarketTypes.sol, State)."""


def _views(core: Core) -> MarketViews:
    if core.chain.market is None:
        raise Conflict("This node follows no market contract.", remedy="Set settlement.market.")
    return core.chain.market


async def _ask(core: Core, call: Call) -> None:
    """Whether the contract would take it now. Raises Refused with its reason."""
    try:
        await core.chain.rpc.call(call.to, call.data, sender=core.chain.sender.address)
    except RpcRefused as refused:
        raise Refused(f"The market contract does not take it: {refusal_of(refused)}") from refused


class EvidenceDesk:
    """At the market: it signed the match, so it has what the contract wants to see beside the counters."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def register(self, inbox: Inbox) -> None:
        inbox.on("market.evidence", self._take)

    async def _take(self, parcel: Parcel) -> Kept:
        """From whomever: the device's signature counts, and the contract checks it."""
        body = EvidenceGiven.model_validate(parcel.body)
        core, market = self._core, _views(self._core)
        match = await self._match(body.contract)
        order = await core.storage.views.one(Order, match.offer if body.of_seller else match.request)
        message, _ = m.from_stored(order.body) if order.body else (None, None)
        if not isinstance(message, m.Offer | m.Request):
            raise NotFound("This market took no such order.")
        found = await market.contract(match.operator, body.contract)
        encode = _CALLS.get(found.state)
        if encode is None:
            raise Conflict("Nothing is contested about this contract.", remedy="Look at the contract's state.")
        evidence = abi.Evidence(
            body.of_seller,
            abi.Counter(body.device, body.first_wh, body.first_at),
            abi.Counter(body.device, body.last_wh, body.last_at),
            body.first_signature,
            body.last_signature,
        )
        call = Call(market.address, encode(match, message, evidence), gas=GAS)
        await _ask(core, call)
        await core.chain.sender.submit(bytes(keccak(call.data)), call, again=True)
        return Kept()

    async def _match(self, contract_id: bytes) -> m.Match:
        submission = await self._core.storage.views.one(Submission, contract_id)
        message, _ = m.from_stored(submission.message) if submission.message else (None, None)
        if not isinstance(message, m.Match):
            raise NotFound("This market made no such contract.")
        return message


class Arbiter:
    """Any node whose wallet the terms of a contract name as their arbiter."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def rule(self, contract_id: bytes, wh: int, operator: bytes | None) -> bytes:
        """Decides how much was delivered; the contract never takes it for more than the claim. Returns the digest.

        `operator`: whose market it is, by default this node's own. Raises NotFound, Conflict, or Refused with the
        contract's reason, for one that is not the arbiter say.
        """
        core, market = self._core, _views(self._core)
        trade = await core.storage.views.one(Trade, contract_id)
        if trade.terms is None:
            raise NotFound("There is no contract of this id.", remedy="`wattpact market trades` lists them.")
        if trade.status is not TradeStatus.DISPUTED:
            raise Conflict(f"The contract is {trade.status.value}: nothing is disputed.")
        wallet, domain = core.keys.identity.wallet(), market_domain_of(core)
        message = m.Ruling(wallet.address, operator or wallet.address, contract_id, wh, core.clock.now() + VALID_S)
        signature = await wallet.sign_message(message, domain)
        await _ask(core, market_call(market.address, message, (signature,), ()))
        await core.storage.memory.keep([submission_of(core, message, (signature,), domain=domain)])
        core.wake()
        return m.digest(message, domain)
