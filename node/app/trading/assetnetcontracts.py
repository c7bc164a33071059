"""An asset's contracts in a market that nets: taken if its own order allows them, measured, and reported (A-10).

The market says what was matched; what the asset signed decides whether that is so. Reports are signed for the net
settlement and sent until the market has taken them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import structlog

from keys import messages as m
from keys.parcel import Parcel
from node.app.core import Core, peer_of
from node.app.inbox import Inbox, Kept
from node.app.trading.assetnetbook import DUES, REPORTS, AssetNetBook, Held
from node.app.trading.assetvoice import VALID_S, AssetVoice
from node.app.trading.delivering import Delivery
from node.app.trading.netforms import contract_of, story_of
from node.app.trading.netlines import net_domain_of
from node.errors import NodeUnreachable, Refused
from node.projection.order import Order
from node.projection.trade import MOST_PROGRESS
from node.runtime.errors import PermanentFailure
from node.services.asset.rules import share_delivery
from node.services.market.netcontracts import NetContract
from node.services.market.netting import DAY
from node.services.twin.netrecords import NetStory
from node.types import short_id
from node.wire.settlement import NetContractMade, NetReported

__all__ = ["AssetNetContracts"]

_log = structlog.get_logger(__name__)

PROGRESS = "asset_net_progress"
"""Namespace of facts, by contract: meter time and Wh that were told during its delivery, the oldest first."""

AGAIN_S = 10
_NOBODY = bytes(20)


class AssetNetContracts:
    """Contracts and reports are read once and followed from then on: a round costs what is new."""

    def __init__(self, core: Core, voice: AssetVoice) -> None:
        self._core = core
        self._voice = voice
        self.book = AssetNetBook(core.storage.memory.facts)
        self._again = 0
        self._watched: set[Delivery] = set()
        self._fresh: set[bytes] | None = None
        self._unsent: set[bytes] = set()
        self._touched: set[bytes] = set()
        self._looked: frozenset[bytes] = frozenset()

    def register(self, inbox: Inbox) -> None:
        inbox.on("asset.netcontract", self._take)

    async def _begun(self) -> set[bytes]:
        """Contracts that are not reported. At the start everything that is open waits to be done and told of."""
        if self._fresh is None:
            held = await self.book.opened()
            if self._fresh is None:
                self._fresh = {key for key, each in held.items() if each.said is None}
                self._unsent |= {key for key, each in held.items() if each.said is not None and not each.said["sent"]}
                self._touched |= set(held)
        return self._fresh

    async def of_order(self, order: Order) -> dict[bytes, tuple[int, int | None]]:
        """Contracts of an own order: Wh that are promised, and what this asset reported, None before."""
        held = await self.book.day(order.terms.start // DAY) if order.terms is not None else {}
        return {
            key: (each.made.wh, each.said["wh"] if each.said is not None else None)
            for key, each in held.items()
            if order.order_id in (each.made.offer, each.made.request)
        }

    # What the market says

    async def _take(self, parcel: Parcel) -> Kept:
        """A contract: within what this asset signed, or it is none."""
        body = NetContractMade.model_validate(parcel.body)
        if parcel.sender != bytes(body.operator) or parcel.sender not in await self._voice.markets():
            raise Refused("This asset does not trade in that market.")
        made = contract_of(body)
        account = self._voice.signer(bytes(body.operator)).address
        key = made.contract_id
        if key in await self.book.day(made.day):
            return Kept((), self.book.add(key, body))
        if account not in (made.seller, made.buyer) or made.seller == made.buyer:
            raise Refused("This asset has no part in that contract.", field="seller")
        sells = account == made.seller
        order = await self._core.storage.views.one(Order, made.offer if sells else made.request)
        fresh, known = await self._begun(), await self.book.day(made.day)
        # From here on nobody else has a turn: two that come at once may not exceed the order together.
        taken = sum(e.made.wh for e in known.values() if order.order_id in (e.made.offer, e.made.request))
        self._check(made, order, taken, sells=sells)
        facts = self.book.add(key, body)
        fresh.add(key)
        self._touched.add(key)
        return Kept((), facts)

    def _check(self, made: NetContract, order: Order, taken: int, *, sells: bool) -> None:
        """Raises Refused for a contract that this asset's order does not allow."""
        terms = order.terms
        if not order.own or terms is None or terms.sells != sells:
            raise Refused("This asset made no such order.", field="offer" if sells else "request")
        if made.wh + taken > terms.wh:
            raise Refused("The contract is for more than was ordered.", field="wh")
        if (made.price < terms.price) if sells else (made.price > terms.price):
            raise Refused("The price is outside of the order's limit.", field="price")
        if made.start < terms.start or made.end > terms.end or made.start >= made.end:
            raise Refused("The delivery is outside of the order's time.", field="start")
        message, domain = m.from_stored(order.body)
        partner = getattr(message, "partner", _NOBODY)
        if partner not in (_NOBODY, made.buyer if sells else made.seller):
            raise Refused("The order names another partner.", field="seller")
        if domain != net_domain_of(self._core):
            raise Refused("The order was not signed to be netted.", field="request")

    # For the digital twins

    async def changed(self) -> frozenset[bytes]:
        """Contracts with something new to be told of; at the start, all that are open. They wait until `told`."""
        await self._begun()
        self._looked |= self._touched
        self._touched.clear()
        return self._looked

    async def told(self) -> None:
        """What `changed` named is written down. Those of which nothing more is to come are not open any more."""
        looked, self._looked = self._looked, frozenset()
        over = self.book.over(looked - self._touched, self._core.clock.now())
        if over:
            await self._core.storage.memory.keep((), over)

    def look_again(self, contract_id: bytes) -> None:
        """Somebody wrote about a contract of which it is not agreed what counts."""
        held = self.book.known(contract_id)
        if held is not None and held.due is None:
            self._touched.add(contract_id)

    async def story(self, contract_id: bytes) -> NetStory | None:
        """A contract as this asset knows it; None for one that it did not take."""
        held = await self.book.one(contract_id)
        if held is None:
            return None
        body, made = held.made, contract_of(held.made)
        own = held.said["wh"] if held.said is not None else None
        sells = made.seller == self._voice.signer(bytes(body.operator)).address
        found = story_of(made, bytes(body.operator), own if sells else None, None if sells else own, held.due)
        return replace(found, progress=tuple([(at, wh) for at, wh in await self._progress(contract_id)]))

    async def agree(self, story: NetStory, counted: tuple[int, int]) -> bool:
        """Whether what counts by the market's word is what it can be: no more than this asset reported, at the price.
        Then it is remembered. A seller agrees to less as well: the smaller report counts (A-10)."""
        wh, amount = counted
        reported = story.used if story.sold is None else story.sold
        if not 0 <= wh <= (story.wh if reported is None else min(reported, story.wh)):
            return False
        if amount != wh * story.price // 1000:
            return False
        await self._core.storage.memory.keep((), [(DUES, story.contract_id.hex(), [wh, amount])])
        held = await self.book.one(story.contract_id)
        if held is not None:
            held.due = counted
        self._touched.add(story.contract_id)
        return True

    # Reports

    async def waiting(self) -> tuple[Delivery, ...]:
        """Deliveries with a contract that is not reported, each told once."""
        if self._core.chain.netting is None:
            return ()
        fresh = await self._begun()
        found = {self._delivery(held.made) for key in fresh if (held := self.book.known(key)) is not None}
        fresh.clear()
        told = found - self._watched
        self._watched |= told
        return tuple(sorted(told))

    def _delivery(self, made: NetContractMade) -> Delivery:
        account = self._voice.signer(bytes(made.operator)).address
        return Delivery(made.start, made.end, bytes(made.operator), account == bytes(made.seller))

    async def report(self, delivery: Delivery, counted: tuple[int, int]) -> None:
        """Shares what the meter counted among the contracts of a delivery, and keeps it to be sent."""
        shares, held = await self._shares(delivery, counted), await self.book.day(delivery.start // DAY)
        if not shares:
            return
        said = {key: {"wh": wh, "sent": False} for key, wh in shares.items() if held[key].said is None}
        if said:
            await self._core.storage.memory.keep((), [(REPORTS, key.hex(), report) for key, report in said.items()])
            for key, report in said.items():
                held[key].said = report
            self._unsent |= set(said)
            self._touched |= set(said)
        self._again = 0

    async def _progress(self, contract_id: bytes) -> list[list[int]]:
        return await self._core.storage.memory.facts.get(PROGRESS, contract_id.hex()) or []

    async def progress(self, delivery: Delivery, counted: tuple[int, int], meter_time: int, due: int) -> None:
        """What the meter counted so far, shared as at the end (M-43). It goes into the digital twins, and decides
        nothing."""
        held, facts = await self.book.day(delivery.start // DAY), list[tuple[str, str, Any]]()
        for key, wh in (await self._shares(delivery, counted)).items():
            told = await self._progress(key)
            if held[key].said is None and len(told) < MOST_PROGRESS and not (told and told[-1][0] >= due):
                facts.append((PROGRESS, key.hex(), [*told, [meter_time, wh]]))
        if facts:
            await self._core.storage.memory.keep((), facts)
            self._touched |= {bytes.fromhex(name) for _, name, _ in facts}

    async def _shares(self, delivery: Delivery, counted: tuple[int, int]) -> dict[bytes, int]:
        held = await self.book.day(delivery.start // DAY)
        own = {key: each.made.wh for key, each in held.items() if self._delivery(each.made) == delivery}
        return share_delivery(*counted, own)

    async def step(self) -> None:
        """Sends what the markets have not taken yet."""
        now = self._core.clock.now()
        if self._core.chain.netting is None or self._again > now:
            return
        await self._begun()
        for key in sorted(self._unsent):
            held = await self.book.one(key)
            if held is not None and held.said is not None:
                await self._send(key, held, held.said)

    async def _send(self, key: bytes, held: Held, report: Mapping[str, Any]) -> None:
        made, domain, now = held.made, net_domain_of(self._core), self._core.clock.now()
        operator = bytes(made.operator)
        signer = self._voice.signer(operator)
        message = m.Provision(signer.address, operator, key, report["wh"], now + VALID_S)
        signature = await signer.sign_message(message, domain)
        body = NetReported(typed=m.typed_data(message, domain), signature=signature, start=made.start)
        peer = peer_of((await self._voice.markets())[operator].card)
        refused = ""
        try:
            await self._voice.post.send(peer, "market.netreport", body.to_json(), VALID_S)
        except NodeUnreachable:
            self._again = now + AGAIN_S
            return
        except PermanentFailure as error:
            refused = str(error)
            _log.warning("net_report_refused", contract=short_id(key), reason=refused)
        done = {**report, "sent": True, **({"refused": refused} if refused else {})}
        await self._core.storage.memory.keep((), [(REPORTS, key.hex(), done)])
        held.said = done
        self._unsent.discard(key)
        self._touched.add(key)
