"""The lines that a market nets: each is a request that its debtor signed for netting, and what of it was delivered.

A request is signed for the net settlement's own domain, so what is netted can never be settled in the market as well.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from eth_utils.crypto import keccak

from contracts.bindings import net_settlement as abi
from contracts.nettings import leaf_of
from keys import messages as m
from keys.eip712 import Domain
from keys.errors import KeysError
from keys.parcel import Parcel
from node.app.core import Core
from node.app.inbox import Inbox, Kept
from node.app.submissions import submission_of
from node.app.trading.netperiods import PERIODS, Periods
from node.errors import Conflict, InvalidInput, Refused
from node.services.market.errors import LineRefused
from node.services.market.netting import DAY, MOST_LINES, Asking, NetLine, check_day, check_line
from node.wire.settlement import NetLineSigned, SignedMessage

__all__ = ["NetLines", "StoredLine", "net_domain_of"]

MANDATES = (m.NetMandate, m.Deposit, m.Withdraw)


def net_domain_of(core: Core) -> Domain:
    """The signing domain of the net settlement. Raises Conflict where none is configured."""
    if core.chain.netting is None:
        raise Conflict("This node follows no net settlement.", remedy="Set settlement.net_settlement.")
    return m.net_settlement_domain(core.settings.chain.chain_id, core.chain.netting.address)


@dataclass(frozen=True, slots=True)
class StoredLine:
    """One line as the contract reads it."""

    line: abi.Line

    @property
    def leaf(self) -> bytes:
        return leaf_of(abi.abi_line(self.line))

    @property
    def request(self) -> bytes:
        """The hash by which the contract orders a debtor's lines."""
        return bytes(keccak(abi.abi_order(self.line.request)))

    def net(self) -> NetLine:
        return NetLine(self.leaf, self.line.request.account, self.line.seller, self.line.amount)


@dataclass(slots=True)
class _Day:
    """What was taken of one day: leaves by debtor, and Wh by request. Made once, so that a line costs what it is."""

    leaves: dict[bytes, set[bytes]] = field(default_factory=dict)
    taken: dict[bytes, int] = field(default_factory=dict)

    def add(self, line: StoredLine) -> None:
        self.leaves.setdefault(line.line.request.account, set()).add(line.leaf)
        self.taken[line.request] = self.taken.get(line.request, 0) + line.line.wh

    def has(self, line: StoredLine) -> bool:
        return line.leaf in self.leaves.get(line.line.request.account, ())


class NetLines:
    """Takes lines and mandates from assets."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._operator = core.keys.identity.wallet().address
        self._days: dict[int, _Day] = {}
        self._one = asyncio.Lock()
        self.periods = Periods(core.storage.memory.facts)

    def register(self, inbox: Inbox) -> None:
        inbox.on("market.netline", self._take_line)
        inbox.on("market.mandate", self._take_mandate)

    async def of(self, period: int) -> dict[bytes, StoredLine]:
        """All lines of a day, by leaf."""
        found = await self._core.storage.memory.facts.all(_lines(period))
        lines = [self.read(NetLineSigned.model_validate(value)) for value in found.values()]
        return {line.leaf: line for line in lines}

    def read(self, body: NetLineSigned) -> StoredLine:
        """Raises InvalidInput or Refused for what its debtor did not sign for this contract."""
        domain = net_domain_of(self._core)
        try:
            message, signed = m.from_typed_data(body.typed)
            if not isinstance(message, m.Request) or signed != domain:
                raise Refused("A line shows a request that was signed for the net settlement.", field="typed")
            m.verify(message, domain, body.signature, message.account)
        except KeysError as error:
            raise Refused(f"The request is not signed by the account it names: {error}.", field="signature") from error
        request = abi.Order(
            message.account,
            message.operator,
            message.terms,
            message.partner,
            message.device,
            message.wh,
            message.price,
            message.start,
            message.end,
            message.nonce,
            message.deadline,
        )
        most = body.wh * body.price // 1000
        amount = most if body.amount is None else body.amount
        if amount > most:
            raise Refused("A line is for more than its energy at its price.", field="amount")
        return StoredLine(abi.Line(request, bytes(body.seller), body.wh, body.price, amount, body.signature))

    def forget(self, period: int) -> None:
        """Lines that were taken and not kept do not count: what is kept is read again."""
        self._days.pop(period, None)

    async def _take_line(self, parcel: Parcel) -> Kept:
        """The debtor itself says what it owes: a line is worth nothing without its request's signature."""
        body = NetLineSigned.model_validate(parcel.body)
        if self._core.settings.market.settle == "net":
            raise Refused("This market makes its lines of its own contracts.", remedy="Order what is to be netted.")
        if body.amount is not None:
            raise InvalidInput("A line's amount follows from its energy and price.", field="amount")
        line = self.read(body)
        check_day(line.line.request.start, self.now(), self._core.settings.market.net_after_s)
        return Kept((), await self.taken(line, body))

    async def taken(
        self, line: StoredLine, body: NetLineSigned, *, owed: bool = False
    ) -> tuple[tuple[str, str, Any], ...]:
        """The facts of a line that this market nets, whatever the time. Raises LineRefused and Conflict. `owed`: by a
        contract of this market, whether a mandate covers it by now or not; what none covers is left out, never lost.
        """
        request, period = line.line.request, line.line.request.start // DAY
        # Two that come at once are looked at one after the other, or they might pass a limit together.
        async with self._one:
            day = await self._day(period)
            facts: tuple[tuple[str, str, Any], ...] = ((_lines(period), line.leaf.hex(), body.to_json()),)
            if day.has(line):
                return facts
            state = await self._core.storage.memory.facts.get(PERIODS, str(period))
            if state is not None and state["state"] != "open":
                raise Conflict("That day is netted already.", remedy="Pay it by itself.")
            asking = Asking(
                request.account, request.operator, request.partner, request.wh, request.price, request.start
            )
            taken = day.taken.get(line.request, 0)
            check_line(asking, self._operator, line.line.seller, line.line.wh, line.line.price, taken)
            if not owed:
                await self._check_debtor(request.account, period, len(day.leaves.get(request.account, ())))
            day.add(line)
        if state is not None:
            return facts
        self.periods.begin(period)
        return (*facts, (PERIODS, str(period), {"state": "open"}))

    def now(self) -> int:
        """The later one of this node's clock and the chain's, which decides when a day is netted."""
        head = self._core.chain.indexer.head
        return max(self._core.clock.now(), head.timestamp if head is not None else 0)

    async def _day(self, period: int) -> _Day:
        day = self._days.get(period)
        if day is None:
            day = _Day()
            for line in (await self.of(period)).values():
                day.add(line)
            self._days[period] = day
            for old in [each for each in self._days if each < period - 1]:
                del self._days[old]
        return day

    async def _check_debtor(self, account: bytes, period: int, told: int) -> None:
        """Lines are for members whose mandate covers the day, so many each: what nobody can net is not kept."""
        if told >= MOST_LINES:
            raise LineRefused(f"A day has at most {MOST_LINES} lines of one debtor.", field="typed.message.account")
        if not told:
            await self.require_mandate(account, period)

    async def require_mandate(self, account: bytes, period: int) -> abi.Member:
        """The account's entry in this market's book, if its mandate covers the day. Raises LineRefused."""
        views = self._core.chain.netting
        member = await views.member(self._operator, account) if views is not None else None
        if member is None or not member.max_debit or not member.last_period < period <= member.until_period:
            raise LineRefused("No mandate of that account covers the day.", field="typed.message.account")
        return member

    async def require_member(self, account: bytes) -> None:
        """Raises LineRefused for an account without an entry in this market's book, to which nothing can be paid."""
        views = self._core.chain.netting
        if views is None or not await views.number(self._operator, account):
            raise LineRefused("That account is no member of the netting.", field="typed.message.account")

    async def limit(self, account: bytes, period: int, owed: int) -> int:
        """What may become due of an account for a day when so much of other days is open. Raises LineRefused."""
        member = await self.require_mandate(account, period)
        return min(member.max_debit, member.balance - owed)

    async def _take_mandate(self, parcel: Parcel) -> Kept:
        """A mandate or money for the net settlement, signed by the account; the contract decides."""
        body, domain = SignedMessage.model_validate(parcel.body), net_domain_of(self._core)
        try:
            message, signed = m.from_typed_data(body.typed)
            if not isinstance(message, MANDATES) or signed != domain or message.operator != self._operator:
                raise Refused("The message is not for this market's netting.", field="typed")
            m.verify(message, domain, body.signatures[0], message.account)
        except KeysError as error:
            raise InvalidInput(f"The message is not signed by the account it names: {error}.", field="typed") from error
        return Kept((submission_of(self._core, message, body.signatures, body.opening, domain),))


def _lines(period: int) -> str:
    """Namespace of facts: the lines of one day, by leaf."""
    return f"net_lines_{period}"
