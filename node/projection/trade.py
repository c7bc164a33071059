"""A contract of the market, by its id: the life cycle of the seed (M-31 to M-38) as one table for market and assets.

The market contract on chain decides every step; this state follows it, also back after a reorg. What an asset signed
about a contract is kept beside it, so that nothing is signed twice while it is on its way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from node.projection.base import ADDRESS_ZERO, Deadline, Effect, Event, State, StateIndex, Step
from node.projection.effects import (
    NotifyTradeDue,
    NotifyTradeFinal,
    NotifyTradeMoved,
    NotifyTradeProgress,
    SendParcel,
)
from node.projection.errors import ContradictingFact, WrongAggregate
from node.projection.events import LoggedFinalized, LoggedRolledBack
from node.projection.facts import Fact, add, cut, settle, top_block, unsettled_block
from node.projection.machine import Machine
from node.projection.settlement_events import (
    DueTradeStep,
    LoggedClaimCured,
    LoggedClaimIssued,
    LoggedCollected,
    LoggedConfirmed,
    LoggedContractCancelled,
    LoggedDelivered,
    LoggedDisputed,
    LoggedMatched,
    LoggedPaid,
    LoggedProvisioned,
    LoggedReminded,
    LoggedRuled,
    RequestedTradeNotice,
    RequestedTradeProgress,
    RequestedTradeWatch,
    RequestedTradeWord,
)
from node.projection.tradedue import TradeDue, TradeStatus, Watch, tell_at, waits_for

__all__ = [
    "MOST_PROGRESS",
    "TRADE_MACHINE",
    "Made",
    "Progress",
    "Said",
    "Trade",
    "TradeStatus",
    "TradeStep",
    "deadlines_trade",
    "index_trade",
    "reduce_trade",
]

_T = TradeStatus
MOST_PROGRESS = 24
"""Entries of one side about one delivery, however long it is."""
_NOBODY = ADDRESS_ZERO


def _to(*targets: TradeStatus) -> frozenset[TradeStatus]:
    return frozenset(targets)


_FORWARD: Mapping[tuple[TradeStatus, type[Event]], frozenset[TradeStatus]] = MappingProxyType(
    {
        (_T.NONE, LoggedMatched): _to(_T.MATCHED),
        (_T.MATCHED, LoggedProvisioned): _to(_T.REPORTED),
        (_T.MATCHED, LoggedContractCancelled): _to(_T.CANCELLED),
        (_T.REPORTED, LoggedProvisioned): _to(_T.CONTESTED),
        (_T.REPORTED, LoggedDelivered): _to(_T.DELIVERED, _T.RESOLVED),
        (_T.CONTESTED, LoggedDelivered): _to(_T.DELIVERED, _T.RESOLVED),
        (_T.DELIVERED, LoggedPaid): _to(_T.PAID),
        (_T.DELIVERED, LoggedClaimIssued): _to(_T.CLAIMED),
        (_T.PAID, LoggedConfirmed): _to(_T.CONFIRMED),
        (_T.CLAIMED, LoggedClaimCured): _to(_T.CURED),
        (_T.CLAIMED, LoggedDisputed): _to(_T.DISPUTED),
        (_T.CLAIMED, LoggedCollected): _to(_T.RESOLVED),
        (_T.DISPUTED, LoggedRuled): _to(_T.CLAIMED, _T.RESOLVED),
    }
)


def _before(status: TradeStatus) -> frozenset[TradeStatus]:
    """Every status on a way from the start to this one: where a reorg may lead back to."""
    found: set[TradeStatus] = set()
    todo = [status]
    while todo:
        here = todo.pop()
        sources = {source for (source, _), targets in _FORWARD.items() if here in targets}
        todo.extend(sources - found)
        found |= sources
    return frozenset(found - {status})


TRADE_MACHINE = Machine(
    "trade",
    _T.NONE,
    {**_FORWARD, **{(status, LoggedRolledBack): _before(status) for status in _T if status is not _T.NONE}},
)


@dataclass(frozen=True, slots=True)
class Made(Fact):
    """The contract as it was made. When it is delivered, its orders say."""

    seller: bytes
    buyer: bytes
    offer: bytes
    request: bytes
    wh: int
    price: int
    amount: int
    escrowed: bool
    time: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class TradeStep(Fact):
    """One log about the contract: the status after it, and what it said; zeros where it says nothing of that kind."""

    status: TradeStatus
    account: bytes = ADDRESS_ZERO
    wh: int = 0
    amount: int = 0
    number: int = 0
    time: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Said:
    """What this node's asset signed about the contract last, by kind; of no use after `until`."""

    kind: str
    digest: bytes
    until: int


@dataclass(frozen=True, slots=True)
class Progress:
    """Wh of the contract that the own meter had counted at its time (seconds UTC), by the account it counted for."""

    account: bytes
    wh: int
    meter_time: int


@dataclass(frozen=True, slots=True)
class Trade(State):
    contract_id: bytes
    status: TradeStatus = TradeStatus.NONE
    made: tuple[Made, ...] = ()
    steps: tuple[TradeStep, ...] = ()
    said: tuple[Said, ...] = ()
    watch: Watch | None = None
    progress: tuple[Progress, ...] = ()

    @property
    def terms(self) -> Made | None:
        return self.made[-1] if self.made else None

    @property
    def settled(self) -> bool:
        """Whether everything that is known of it is final."""
        return bool(self.made) and all(fact.final for fact in (*self.made, *self.steps))

    def reported_by(self, account: bytes) -> int | None:
        """Wh that a partner reported, None if it has not."""
        return next((s.wh for s in self.steps if s.account == account and s.status in _REPORTS), None)

    @property
    def delivered(self) -> TradeStep | None:
        """The step that settled what was delivered (`wh`) and what is owed for it (`amount`)."""
        return next((step for step in self.steps if step.status is TradeStatus.DELIVERED and not step.number), None)

    @property
    def paid(self) -> int:
        """Minor units that the chain says were paid."""
        return sum(step.amount for step in self.steps if step.status is TradeStatus.PAID)

    @property
    def reminders(self) -> int:
        return max((step.number for step in self.steps), default=0)

    @property
    def mark(self) -> int:
        """When the last step happened, by its block; what follows is counted from there."""
        last = self.steps[-1].time if self.steps else self.made[-1].time if self.made else 0
        # Journals of before did not keep it; the delivery's end is never after it by much.
        return last or (self.watch.waits.end if self.watch else 0)

    def word(self, kind: str) -> Said | None:
        """What was said of this kind and may still be on its way."""
        return next((said for said in self.said if said.kind == kind), None)

    def waits_for(self) -> tuple[tuple[TradeDue, int], ...]:
        """What this node has to do about it if nothing else happens, and from when on (seconds UTC)."""
        watch, terms = self.watch, self.terms
        if watch is None or terms is None:
            return ()
        own = [account for mine, account in ((watch.seller, terms.seller), (watch.buyer, terms.buyer)) if mine]
        silent = any(self.reported_by(account) is None for account in own)
        # Once ruled on, or collected in part, a claim waits for nothing but money.
        claims = sum(step.status is TradeStatus.CLAIMED for step in self.steps)
        ruled = claims > 1 or any(step.status is TradeStatus.DISPUTED for step in self.steps)
        return waits_for(self.status, self.mark, self.reminders, watch, silent=silent, ruled=ruled)


_REPORTS = (TradeStatus.REPORTED, TradeStatus.CONTESTED)


def _status(trade: Trade) -> TradeStatus:
    if not trade.made:
        return TradeStatus.NONE
    return trade.steps[-1].status if trade.steps else TradeStatus.MATCHED


def _moved(before: Trade, event: Event, after: Trade) -> Step[Trade]:
    if after == before:
        return Step(before)
    after = replace(after, status=TRADE_MACHINE.move(before.status, event, _status(after)))
    effects: list[Effect] = []
    if (after.status, after.reminders) != (before.status, before.reminders):
        effects.append(NotifyTradeMoved(after.contract_id, after.status.value))
    if after.settled and not (before.settled and after.status is before.status):
        effects.append(NotifyTradeFinal(after.contract_id, after.status.value))
    return Step(after, tuple(effects))


def _matched(trade: Trade, event: LoggedMatched) -> Step[Trade]:
    made = Made(
        event.block,
        False,
        event.seller,
        event.buyer,
        event.offer,
        event.request,
        event.wh,
        event.price,
        event.amount,
        event.escrowed,
        event.time,
    )
    if trade.made and replace(trade.made[-1], final=False) != made:
        raise ContradictingFact("one contract was made twice")
    return _moved(trade, event, replace(trade, made=add(trade.made, made)))


def _step(trade: Trade, event: Event) -> TradeStep:
    """The step that a log means. Raises WrongAggregate for an event that is none."""
    match event:
        case LoggedProvisioned(block, _, account, wh, time):
            # Reports beyond the contract count as the contract. Where the two agree, Delivered follows at once.
            most = trade.terms.wh if trade.terms else 0
            differs = any(min(s.wh, most) != min(wh, most) for s in trade.steps if s.account not in (account, _NOBODY))
            return TradeStep(block, False, _T.CONTESTED if differs else _T.REPORTED, account, wh, time=time)
        case LoggedDelivered(block, _, wh, due, time):
            # Nothing delivered is nothing owed, and no payment would ever close the contract.
            return TradeStep(block, False, _T.DELIVERED if due else _T.RESOLVED, wh=wh, amount=due, time=time)
        case LoggedPaid(block, _, amount, time):
            return TradeStep(block, False, _T.PAID, amount=amount, time=time)
        case LoggedConfirmed(block, _, time):
            return TradeStep(block, False, _T.CONFIRMED, time=time)
        case LoggedReminded(block, _, number, time):
            return TradeStep(block, False, _T.DELIVERED, number=number, time=time)
        case LoggedClaimIssued(block=block, owed=owed, time=time):
            return TradeStep(block, False, _T.CLAIMED, amount=owed, time=time)
        case LoggedClaimCured(block, _, amount, time):
            return TradeStep(block, False, _T.CURED, amount=amount, time=time)
        case LoggedDisputed(block=block, time=time):
            return TradeStep(block, False, _T.DISPUTED, time=time)
        case LoggedRuled(block, _, owed, time):
            return TradeStep(block, False, _T.CLAIMED if owed else _T.RESOLVED, amount=owed, time=time)
        case LoggedCollected(block, _, amount, left, time):
            return TradeStep(block, False, _T.CLAIMED if left else _T.RESOLVED, amount=amount, time=time)
        case LoggedContractCancelled(block, _, by, fee, time):
            return TradeStep(block, False, _T.CANCELLED, by, amount=fee, time=time)
        case _:
            raise WrongAggregate(f"{type(event).__name__} does not concern a trade")


def _stepped(trade: Trade, event: Event) -> Step[Trade]:
    step = _step(trade, event)
    if not trade.made:
        raise ContradictingFact("a step of a contract that was never made")
    steps = add(trade.steps, step)
    if steps is trade.steps:
        return Step(trade)
    if step.status is not trade.status and step.status not in TRADE_MACHINE.moves.get((trade.status, type(event)), ()):
        # The contract on chain makes no such step, so logs were lost or made up on the way here.
        raise ContradictingFact(f"a contract that is {trade.status} cannot be {step.status} next")
    return _moved(trade, event, replace(trade, steps=steps))


def _spoken(trade: Trade, event: RequestedTradeWord) -> Step[Trade]:
    known = trade.word(event.kind)
    if known is not None and known.until >= event.at:
        return Step(trade)
    others = tuple(said for said in trade.said if said.kind != event.kind)
    after = replace(trade, said=(*others, Said(event.kind, event.digest, event.until)))
    if trade.contract_id != event.contracts[0]:  # one parcel for all contracts that the message names
        return Step(after)
    return Step(after, (SendParcel(event.peer, "market.word", event.body, event.digest, event.until),))


def _watched(trade: Trade, event: RequestedTradeWatch) -> Step[Trade]:
    known = trade.watch or Watch(event.waits, False, False, False)
    parts = (event.seller or known.seller, event.buyer or known.buyer, event.operator or known.operator)
    return Step(replace(trade, watch=Watch(event.waits, *parts, known.told_at)))


def _progressed(trade: Trade, event: RequestedTradeProgress) -> Step[Trade]:
    """M-43. A meter that goes back, or tells more than there is room for, says nothing."""
    known = [each for each in trade.progress if each.account == event.account]
    open_ = trade.status in (_T.MATCHED, *_REPORTS)
    if not open_ or len(known) >= MOST_PROGRESS or any(each.meter_time >= event.meter_time for each in known):
        return Step(trade)
    after = replace(trade, progress=(*trade.progress, Progress(event.account, event.wh, event.meter_time)))
    return Step(after, (NotifyTradeProgress(trade.contract_id, event.account, event.wh),))


def _noticed(trade: Trade, event: RequestedTradeNotice) -> Step[Trade]:
    if trade.word(event.name) is not None:
        return Step(trade)
    after = replace(trade, said=(*trade.said, Said(event.name, trade.contract_id, event.until)))
    return Step(after, (SendParcel(event.peer, event.kind, event.body, event.contract_id, event.until),))


def _told(trade: Trade, event: DueTradeStep) -> Step[Trade]:
    watch = trade.watch
    if watch is None:
        return Step(trade)
    due = tuple(step for step, at in trade.waits_for() if tell_at(watch, at) <= event.at)
    if not due:
        return Step(trade)
    after = replace(trade, watch=replace(watch, told_at=event.at))
    return Step(after, tuple(NotifyTradeDue(trade.contract_id, step.value) for step in due))


def deadlines_trade(trade: Trade) -> tuple[Deadline, ...]:
    watch = trade.watch
    if watch is None:
        return ()
    due = [tell_at(watch, at) for _, at in trade.waits_for()]
    return (Deadline("step", min(due)),) if due else ()


def reduce_trade(trade: Trade, event: Event) -> Step[Trade]:
    match event:
        case RequestedTradeWatch():
            return _watched(trade, event)
        case DueTradeStep():
            return _told(trade, event)
        case RequestedTradeProgress():
            return _progressed(trade, event)
        case RequestedTradeNotice():
            return _noticed(trade, event)
        case LoggedMatched():
            return _matched(trade, event)
        case RequestedTradeWord():
            return _spoken(trade, event)
        case LoggedRolledBack():
            height = event.ancestor_height
            after = replace(trade, made=cut(trade.made, height), steps=cut(trade.steps, height))
            return _moved(trade, event, after)
        case LoggedFinalized():
            after = replace(trade, made=settle(trade.made, event.height), steps=settle(trade.steps, event.height))
            return _moved(trade, event, after)
        case _:
            return _stepped(trade, event)


def index_trade(trade: Trade) -> StateIndex:
    terms = trade.terms
    links: tuple[tuple[str, bytes], ...] = ()
    if terms is not None:
        links = (
            ("seller", terms.seller),
            ("buyer", terms.buyer),
            ("order", terms.offer),
            ("order", terms.request),
        )
    lists = (trade.made, trade.steps)
    return StateIndex(trade.status.value, top_block(*lists), unsettled_block(*lists), None, links)
