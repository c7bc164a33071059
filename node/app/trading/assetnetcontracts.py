"""An asset's contracts in a market that nets: taken if its own order allows them, measured, and reported (A-10).

The market says what was matched; what the asset signed decides whether that is so. Reports are signed for the net
settlement and sent until the market has taken them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import structlog

from keys import messages as m
from keys.parcel import Parcel
from node.app.core import Core, peer_of
from node.app.inbox import Inbox, Kept
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
from node.services.twin.netrecords import NetStory
from node.wire.settlement import NetContractMade, NetReported

__all__ = ["AssetNetContracts"]

_log = structlog.get_logger(__name__)

MADE, REPORTS = "asset_net_contract", "asset_net_report"
"""Namespaces of facts, by contract: as the market told it; what this asset reported, and whether that arrived."""

DUES = "asset_net_due"
"""Namespace of facts: Wh that count of a contract, and what is owed, once this asset agreed to it."""

PROGRESS = "asset_net_progress"
"""Namespace of facts, by contract: meter time and Wh that were told during its delivery, the oldest first."""

LATE_S = 3 * 86_400

AGAIN_S = 10
_NOBODY = bytes(20)


class AssetNetContracts:
    """Contracts and reports are read once and followed from then on: a round costs what is new."""

    def __init__(self, core: Core, voice: AssetVoice) -> None:
        self._core = core
        self._voice = voice
        self._again = 0
        self._watched: set[Delivery] = set()
        self._made: dict[bytes, NetContractMade] | None = None
        self._said: dict[bytes, dict[str, Any]] = {}
        self._unsent: set[bytes] = set()
        self._fresh: set[bytes] = set()
        self._dues: dict[bytes, tuple[int, int]] = {}
        self.touched: set[bytes] = set()
        """Contracts with something new to be told of, for whoever clears it."""
        self._late = False

    def register(self, inbox: Inbox) -> None:
        inbox.on("asset.netcontract", self._take)

    async def all(self) -> dict[bytes, NetContractMade]:
        """Every contract that this asset took, by id."""
        if self._made is None:
            facts = self._core.storage.memory.facts
            found = await facts.all(MADE)
            self._said = {bytes.fromhex(key): value for key, value in (await facts.all(REPORTS)).items()}
            self._made = {bytes.fromhex(key): NetContractMade.model_validate(value) for key, value in found.items()}
            self._fresh = set(self._made) - set(self._said)
            self._dues = {bytes.fromhex(key): (value[0], value[1]) for key, value in (await facts.all(DUES)).items()}
            self._unsent = {key for key, report in self._said.items() if not report["sent"]}
        return self._made

    async def reports(self) -> dict[bytes, dict[str, Any]]:
        """What this asset reported, by contract."""
        await self.all()
        return self._said

    async def agreed(self) -> Mapping[bytes, tuple[int, int]]:
        """Wh that count and what is owed for them, by contract, where this asset agreed to it."""
        await self.all()
        return self._dues

    async def of_order(self, order_id: bytes) -> dict[bytes, tuple[int, int | None]]:
        """Contracts of an own order: Wh that are promised, and what this asset reported, None before."""
        said = await self.reports()
        return {
            key: (each.wh, said[key]["wh"] if key in said else None)
            for key, each in (await self.all()).items()
            if order_id in (each.offer, each.request)
        }

    # What the market says

    async def _take(self, parcel: Parcel) -> Kept:
        """A contract: within what this asset signed, or it is none."""
        body = NetContractMade.model_validate(parcel.body)
        if parcel.sender != bytes(body.operator) or parcel.sender not in await self._voice.markets():
            raise Refused("This asset does not trade in that market.")
        made = contract_of(body)
        account = self._voice.signer(bytes(body.operator)).address
        known = {key: contract_of(each) for key, each in (await self.all()).items()}
        kept = Kept((), ((MADE, made.contract_id.hex(), body.to_json()),))
        if made.contract_id in known:
            return kept
        if account not in (made.seller, made.buyer) or made.seller == made.buyer:
            raise Refused("This asset has no part in that contract.", field="seller")
        sells = account == made.seller
        order = await self._core.storage.views.one(Order, made.offer if sells else made.request)
        others = [each for each in known.values() if order.order_id in (each.offer, each.request)]
        self._check(made, order, sum(each.wh for each in others), sells=sells)
        (await self.all())[made.contract_id] = body
        self._fresh.add(made.contract_id)
        self.touched.add(made.contract_id)
        return kept

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
        message, domain = m.from_typed_data(json.loads(order.body))
        partner = getattr(message, "partner", _NOBODY)
        if partner not in (_NOBODY, made.buyer if sells else made.seller):
            raise Refused("The order names another partner.", field="seller")
        if domain != net_domain_of(self._core):
            raise Refused("The order was not signed to be netted.", field="request")

    # For the digital twins

    async def touch_late(self) -> None:
        """At the start: everything of the last days."""
        if not self._late:
            since = self._core.clock.now() - LATE_S
            self.touched |= {key for key, each in (await self.all()).items() if each.end > since}
            self._late = True

    def look_again(self, contract_id: bytes) -> None:
        """Somebody wrote about a contract of which it is not agreed what counts."""
        if self._made is not None and contract_id in self._made and contract_id not in self._dues:
            self.touched.add(contract_id)

    async def story(self, contract_id: bytes) -> NetStory | None:
        """A contract as this asset knows it; None for one that it did not take."""
        body = (await self.all()).get(contract_id)
        if body is None:
            return None
        made, said = contract_of(body), self._said.get(contract_id)
        own = said["wh"] if said is not None else None
        sells = made.seller == self._voice.signer(bytes(body.operator)).address
        due = self._dues.get(contract_id)
        found = story_of(made, bytes(body.operator), own if sells else None, None if sells else own, due, None)
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
        self._dues[story.contract_id] = counted
        return True

    # Reports

    async def waiting(self) -> tuple[Delivery, ...]:
        """Deliveries with a contract that is not reported, each told once."""
        if self._core.chain.netting is None:
            return ()
        contracts = await self.all()
        fresh = {self._delivery(contracts[key]) for key in self._fresh} - self._watched
        self._fresh.clear()
        self._watched |= fresh
        return tuple(sorted(fresh))

    def _delivery(self, made: NetContractMade) -> Delivery:
        account = self._voice.signer(bytes(made.operator)).address
        return Delivery(made.start, made.end, bytes(made.operator), account == bytes(made.seller))

    async def report(self, delivery: Delivery, counted: tuple[int, int]) -> None:
        """Shares what the meter counted among the contracts of a delivery, and keeps it to be sent."""
        shares, said = await self._shares(delivery, counted), await self.reports()
        if not shares:
            return
        facts = [(REPORTS, key.hex(), {"wh": wh, "sent": False}) for key, wh in shares.items() if key not in said]
        if facts:
            await self._core.storage.memory.keep((), facts)
            self._said |= {bytes.fromhex(name): report for _, name, report in facts}
            self._unsent |= {bytes.fromhex(name) for _, name, _ in facts}
            self.touched |= {bytes.fromhex(name) for _, name, _ in facts}
        self._again = 0

    async def _progress(self, contract_id: bytes) -> list[list[int]]:
        return await self._core.storage.memory.facts.get(PROGRESS, contract_id.hex()) or []

    async def progress(self, delivery: Delivery, counted: tuple[int, int], meter_time: int, due: int) -> None:
        """What the meter counted so far, shared as at the end (M-43). It goes into the digital twins, and decides
        nothing."""
        shares, facts = await self._shares(delivery, counted), list[tuple[str, str, Any]]()
        for key, wh in shares.items():
            told = await self._progress(key)
            if key not in self._said and len(told) < MOST_PROGRESS and not (told and told[-1][0] >= due):
                facts.append((PROGRESS, key.hex(), [*told, [meter_time, wh]]))
        if facts:
            await self._core.storage.memory.keep((), facts)
            self.touched |= {bytes.fromhex(name) for _, name, _ in facts}

    async def _shares(self, delivery: Delivery, counted: tuple[int, int]) -> dict[bytes, int]:
        contracts = {key: each for key, each in (await self.all()).items() if self._delivery(each) == delivery}
        return share_delivery(*counted, {key: each.wh for key, each in contracts.items()})

    async def step(self) -> None:
        """Sends what the markets have not taken yet."""
        now = self._core.clock.now()
        if self._core.chain.netting is None or self._again > now:
            return
        contracts = await self.all()
        for key in sorted(self._unsent):
            await self._send(key, contracts[key], self._said[key])

    async def _send(self, key: bytes, made: NetContractMade, report: Mapping[str, Any]) -> None:
        operator, domain, now = bytes(made.operator), net_domain_of(self._core), self._core.clock.now()
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
            _log.warning("net_report_refused", contract=key.hex(), reason=refused)
        done = {**report, "sent": True, **({"refused": refused} if refused else {})}
        await self._core.storage.memory.keep((), [(REPORTS, key.hex(), done)])
        self._said[key] = done
        self._unsent.discard(key)
