"""A market's contracts that are netted: kept here, told to both partners, and made into lines once they are delivered.

Everything is a fact of its day: the contract as it was made, what each partner reported, whether each was told, and
what counts. What is not done yet is read off them, so a restart goes on where it was.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import structlog
from eth_utils.crypto import keccak

from keys import messages as m
from keys.errors import KeysError
from keys.parcel import Parcel
from node.app.core import Core
from node.app.inbox import Inbox, Kept
from node.app.trading.marks import Marks, keep_marked
from node.app.trading.netforms import Dues, body_of, contract_of, story_of
from node.app.trading.netleftline import Left
from node.app.trading.netlines import NetLines, net_domain_of
from node.app.trading.netperiods import PERIODS
from node.app.trading.nettelling import SIDES, NetTelling
from node.errors import Conflict, Refused
from node.projection.order import Order
from node.services.market.engine import Fill
from node.services.market.errors import LineRefused
from node.services.market.netcontracts import NetContract, Reports, check_exposure, delivered
from node.services.market.netting import DAY
from node.services.market.slots import MOST_WH
from node.services.twin.netrecords import NetStory
from node.wire.settlement import NetContractMade, NetLeftOut, NetLineSigned, NetReported

__all__ = ["NetContracts"]

_log = structlog.get_logger(__name__)

TOLERANCE_S = 120
"""Seconds by which a partner's clock may be ahead."""

DAY_OF = "net_day_of"
"""Namespace of facts: the day of each contract."""

NEWS, UNWRITTEN = "net_news", "net_unwritten"
"""Namespaces of marks, see `Marks`."""

_NETTED = ("settled", "released", "idle", "void")

Fact = tuple[str, str, Any]
LeftOf = tuple[Sequence[NetLeftOut], Sequence[NetLeftOut]]


def _made(day: int) -> str:
    return f"net_contract_{day}"


def _said(day: int) -> str:
    return f"net_report_{day}"


def _told(day: int) -> str:
    return f"net_told_{day}"


def _due(day: int) -> str:
    return f"net_due_{day}"


async def _never(_: bytes) -> bool:
    return False


async def _nothing(_: bytes) -> LeftOf:
    return (), ()


async def _none_left(_: NetContract) -> Left | None:
    return None


class NetContracts:
    """The contracts of a market whose settings say that it nets."""

    def __init__(self, core: Core, lines: NetLines) -> None:
        self._core = core
        self._telling = NetTelling(core, "asset.netcontract")
        self._lines = lines
        self._operator = core.keys.identity.wallet().address
        self._days: dict[int, dict[bytes, NetContract]] = {}
        self._of: dict[int, dict[bytes, list[bytes]]] = {}
        self.unwritten = Marks(core.storage.memory, UNWRITTEN)
        """Days of which something was settled that is not in the statements yet."""
        self.news = Marks(core.storage.memory, NEWS)
        """Contracts with something new for their digital twins."""
        self._closing: set[int] = set()
        """Days whose lines are being made."""
        self.left_of: Callable[[bytes], Awaitable[LeftOf]] = _nothing
        """Lines that were left out and that an account has not signed for, and the others of its of those days."""
        self.left_out: Callable[[NetContract], Awaitable[Left | None]] = _none_left
        """The line of which a contract is a part, if a netting left it out."""
        self.settles: Callable[[bytes], Awaitable[bool]] = _never
        """Whether a contract on chain pays for what a netting left out."""
        self.excludes: Callable[[bytes], Awaitable[bool]] = _never
        """Whether an account makes no contracts, for a claim against it."""

    def register(self, inbox: Inbox) -> None:
        inbox.on("market.netreport", self._take_report)

    async def of(self, day: int) -> dict[bytes, NetContract]:
        """All of a day, by id."""
        found = await self._core.storage.memory.facts.all(_made(day))
        contracts = [contract_of(NetContractMade.model_validate(each)) for each in found.values()]
        return {each.contract_id: each for each in contracts}

    async def days(self) -> tuple[int, ...]:
        """The days that have contracts or lines and are not netted."""
        found = await self._lines.periods.live()
        return tuple(day for day, state in found.items() if state["state"] == "open")

    async def dues(self, day: int) -> Dues:
        """What counts of a day's contracts: `wh`, `amount`, and what each partner reported."""
        contracts = await self.of(day)
        found = await self._core.storage.memory.facts.all(_due(day))
        return {bytes.fromhex(key): (contracts[bytes.fromhex(key)], due) for key, due in found.items()}

    # Matching

    async def make(self, fill: Fill, offer: Order, request: Order) -> tuple[NetContract, tuple[Fact, ...]]:
        """A contract of this fill, and the facts that make it. Raises LineRefused for a buyer whose mandate does not
        cover it. It counts from here on; `forget` where the facts were not kept."""
        assert offer.terms is not None  # noqa: S101 (only orders with terms are matched)
        assert request.terms is not None  # noqa: S101 (as above)
        if await self.excludes(request.terms.account) or await self.excludes(offer.terms.account):
            raise LineRefused("A claim against that account is open.", field="buyer")
        start, end = max(offer.terms.start, request.terms.start), min(offer.terms.end, request.terms.end)
        day = start // DAY
        known = await self._known(day)
        parts = (fill.offer, fill.request, len(known).to_bytes(8, "big"), day.to_bytes(4, "big"))
        accounts = (offer.terms.account, request.terms.account)
        nonce = bytes(keccak(b"".join(parts)))
        made = NetContract(fill.offer, fill.request, *accounts, fill.wh, fill.price, start, end, nonce)
        owed = 0
        for other in await self.days():
            if other != day:
                owed += sum(each.amount for each in (await self._known(other)).values() if each.buyer == made.buyer)
        check_exposure(known.values(), made, await self._lines.limit(made.buyer, day, owed))
        known[made.contract_id] = made
        self._enter(day, made)
        name = made.contract_id.hex()
        facts: list[Fact] = [(_made(day), name, body_of(made, self._operator).to_json()), (DAY_OF, name, day)]
        if await self._core.storage.memory.facts.get(PERIODS, str(day)) is None:
            self._lines.periods.begin(day)
            facts.append((PERIODS, str(day), {"state": "open"}))
        return made, tuple(facts)

    async def _known(self, day: int) -> dict[bytes, NetContract]:
        if day not in self._days:
            found = await self.of(day)
            if day not in self._days:  # another call may have been quicker, and what was made since is in there
                self._days[day], self._of[day] = found, {}
                for made in found.values():
                    self._enter(day, made)
        return self._days[day]

    def _enter(self, day: int, made: NetContract) -> None:
        for account in (made.seller, made.buyer):
            self._of.setdefault(day, {}).setdefault(account, []).append(made.contract_id)

    async def of_account(self, account: bytes) -> list[tuple[NetContract, Reports, dict[str, Any] | None]]:
        """The contracts of an account on days that are not netted: what was reported, and what counts."""
        found, facts = [], self._core.storage.memory.facts
        for day in await self.days():
            known = await self._known(day)
            for key in self._of.get(day, {}).get(account, ()):
                name = key.hex()
                said = [await facts.get(_said(day), f"{name}/{side}") for side in ("seller", "buyer")]
                found.append((known[key], Reports(*said), await facts.get(_due(day), name)))
        return found

    def forget(self) -> None:
        """What is kept counts, and is read again."""
        self._days.clear()
        self._of.clear()

    # Steps

    async def step(self) -> None:
        """Tells partners of their contracts, and settles what both reported, or one after the grace."""
        now, grace = self._lines.now(), self._core.settings.market.provision_grace_s
        for day in await self.days():
            contracts = await self.of(day)
            await self._tell(day, contracts)
            if not await self._over(day):
                await self._settle(day, contracts, lambda each: now >= each.end + grace)

    async def close(self, day: int) -> None:
        """The day is netted now: what one partner alone reported counts as well, and what counts becomes lines. They
        are made once, all together: a day that is netted again, after a batch that did not arrive, has the same."""
        self._closing.add(day)  # what is reported from here on would be in no line
        if (await self._core.storage.memory.facts.get(PERIODS, str(day)) or {}).get("closed"):
            return
        await self._settle(day, await self.of(day), lambda _: True)
        self._days.pop(day, None)
        self._of.pop(day, None)
        self._lines.forget(day)
        sums: dict[tuple[bytes, bytes, int], tuple[int, int]] = {}
        for made, due in (await self.dues(day)).values():
            key = (made.request, made.seller, made.price)
            wh, amount = sums.get(key, (0, 0))
            sums[key] = (wh + due["wh"], amount + due["amount"])
        facts = list[Fact]()
        for (request_id, seller, price), (wh, amount) in sorted(sums.items()):
            if wh:
                facts += await self._line(
                    await self._core.storage.views.one(Order, request_id), seller, price, wh, amount
                )
        state = await self._core.storage.memory.facts.get(PERIODS, str(day)) or {"state": "open"}
        await self._core.storage.memory.keep((), [*facts, (PERIODS, str(day), {**state, "closed": True})])

    async def _line(self, request: Order, seller: bytes, price: int, wh: int, amount: int) -> Sequence[Fact]:
        """One line for all that a request takes of a seller at a price: two alike would be one for the contract."""
        body = NetLineSigned(
            typed=m.typed_data(*m.from_stored(request.body)),
            signature=request.signature,
            seller=seller,
            wh=wh,
            price=price,
            amount=amount,
        )
        try:
            return await self._lines.taken(self._lines.read(body), body, owed=True)
        except LineRefused as refused:
            _log.error("net_line_refused", request=request.order_id.hex(), reason=str(refused))
            return ()

    async def _over(self, day: int) -> bool:
        """Whether what counts of a day is in its lines, or about to be: nothing else counts any more."""
        if day in self._closing:
            return True
        state = await self._core.storage.memory.facts.get(PERIODS, str(day)) or {"state": "open"}
        return state["state"] != "open" or bool(state.get("closed"))

    async def _tell(self, day: int, contracts: Mapping[bytes, NetContract]) -> None:
        told, now = await self._core.storage.memory.facts.all(_told(day)), self._core.clock.now()
        for key, each in contracts.items():
            done = [side for side in SIDES if f"{key.hex()}/{side}" in told]
            if len(done) == len(SIDES):
                continue
            body = body_of(each, self._operator).to_json()

            async def same(_: str, body: Mapping[str, Any] = body) -> Sequence[Mapping[str, Any]]:
                return (body,)

            fresh = await self._telling.tell(key, (each.offer, each.request), done, same)
            if fresh:
                facts = [(_told(day), f"{key.hex()}/{side}", now) for side in fresh]
                await self._core.storage.memory.keep((), facts)

    async def _settle(
        self, day: int, contracts: Mapping[bytes, NetContract], graced: Callable[[NetContract], bool]
    ) -> None:
        facts, found = self._core.storage.memory.facts, list[Fact]()
        dues, said = await facts.all(_due(day)), await facts.all(_said(day))
        for key, each in contracts.items():
            name = key.hex()
            if name in dues:
                continue
            reports = Reports(said.get(f"{name}/seller"), said.get(f"{name}/buyer"))
            wh = delivered(each, reports, graced=graced(each))
            if wh is not None:
                amount = wh * each.price // 1000
                due = {"wh": wh, "amount": amount, "sold": reports.sold, "used": reports.used}
                found.append((_due(day), name, due))
        if found:
            await keep_marked(found, {self.unwritten: (str(day),), self.news: [name for _, name, _ in found]})

    # For the digital twins

    async def story(self, contract_id: bytes) -> NetStory | None:
        """A contract with all that is known of it; None for one that this market did not make."""
        facts, name = self._core.storage.memory.facts, contract_id.hex()
        day = await facts.get(DAY_OF, name)
        body = await facts.get(_made(day), name) if day is not None else None
        if body is None:
            return None
        made = contract_of(NetContractMade.model_validate(body))
        sold, used = [await facts.get(_said(day), f"{name}/{side}") for side in SIDES]
        due = await facts.get(_due(day), name)
        counted = (due["wh"], due["amount"]) if due is not None else None
        period = (await facts.get(PERIODS, str(day)) or {}).get("state")
        found = story_of(made, self._operator, sold, used, counted)
        if period not in _NETTED or due is None or not due["amount"]:
            return found
        left = await self.left_out(made)
        return replace(found, netted=left is None, left=left)

    # What partners say

    async def _take_report(self, parcel: Parcel) -> Kept:
        """What a partner delivered or used, under its account's signature; the first word of each counts."""
        body, domain = NetReported.model_validate(parcel.body), net_domain_of(self._core)
        try:
            message, signed = m.from_typed_data(body.typed)
            if not isinstance(message, m.Provision) or signed != domain or message.operator != self._operator:
                raise Refused("The report is not for this market's netting.", field="typed")
            m.verify(message, domain, body.signature, message.account)
        except KeysError as error:
            raise Refused(f"The report is not signed by the account it names: {error}.", field="signature") from error
        day, name = body.start // DAY, message.contract_id.hex()
        told = await self._core.storage.memory.facts.get(_made(day), name)
        made = contract_of(NetContractMade.model_validate(told)) if told is not None else None
        sides = {made.seller: "seller", made.buyer: "buyer"} if made is not None else {}
        if made is None or message.account not in sides:
            raise Refused("That account has no such contract here.", field="typed.message.contractId")
        if message.wh > MOST_WH:
            raise Refused("No meter counts so much.", field="typed.message.wh")
        if self._lines.now() < made.end - TOLERANCE_S:
            raise Refused("The delivery is not over.", field="typed.message.wh")
        facts, key = self._core.storage.memory.facts, f"{name}/{sides[message.account]}"
        said = await facts.get(_said(day), key)
        if said is not None and said != message.wh:
            raise Conflict("Something else was reported before.", remedy="The first word counts.")
        if said is None and await facts.get(_due(day), name) is not None:
            raise Conflict("What counts of the contract is settled.", remedy="Report within the provision grace.")
        if said is None and await self._over(day):
            raise Conflict("The day of that delivery is netted.", remedy="Report before its day is netted.")
        return Kept((), ((_said(day), key, message.wh),))
