"""The one table of aggregates and the functions over it: `reduce`, `route`, `due_event`, `index_of`, `deadlines_of`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from node.projection import asking, consent, device, erasure, order, request, source, stream, submission, trade, twin
from node.projection import erasure_events as er
from node.projection import events as e
from node.projection import settlement_events as s
from node.projection import twin_events as t
from node.projection.base import AggregateId, Deadline, Event, State, StateIndex, Step
from node.projection.errors import WrongAggregate
from node.projection.machine import Machine

__all__ = [
    "KINDS",
    "Kind",
    "Route",
    "aggregate_of",
    "deadlines_of",
    "due_event",
    "index_of",
    "initial",
    "reduce",
    "route",
]


def _no_deadlines(_: Any) -> tuple[Deadline, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of aggregate. `key` names the field of the state that is its id; `due` maps deadline names to events."""

    state: type[State]
    key: str
    machine: Machine[Any]
    reduce: Callable[[Any, Event], Step[State]]
    index: Callable[[Any], StateIndex]
    deadlines: Callable[[Any], tuple[Deadline, ...]] = _no_deadlines
    due: Mapping[str, Callable[[bytes, int], Event]] = field(default_factory=dict)


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "stream": Kind(stream.Stream, "sid", stream.STREAM_MACHINE, stream.reduce_stream, stream.index_stream),
        "consent": Kind(
            consent.Consent,
            "grant_id",
            consent.CONSENT_MACHINE,
            consent.reduce_consent,
            consent.index_consent,
            consent.deadlines_consent,
            {"end": e.DueConsentEnd},
        ),
        "device": Kind(device.Device, "device_hash", device.DEVICE_MACHINE, device.reduce_device, device.index_device),
        "request": Kind(
            request.Request,
            "request_id",
            request.REQUEST_MACHINE,
            request.reduce_request,
            request.index_request,
            request.deadlines_request,
            {"deadline": e.DueRequestDeadline},
        ),
        "asking": Kind(
            asking.Asking,
            "request_id",
            asking.ASKING_MACHINE,
            asking.reduce_asking,
            asking.index_asking,
            asking.deadlines_asking,
            {"deadline": e.DueAskingDeadline},
        ),
        "erasure": Kind(
            erasure.Erasure, "grant_id", erasure.ERASURE_MACHINE, erasure.reduce_erasure, erasure.index_erasure
        ),
        "submission": Kind(
            submission.Submission,
            "digest",
            submission.SUBMISSION_MACHINE,
            submission.reduce_submission,
            submission.index_submission,
            submission.deadlines_submission,
            {"retry": e.DueSubmissionRetry},
        ),
        "order": Kind(
            order.Order,
            "order_id",
            order.ORDER_MACHINE,
            order.reduce_order,
            order.index_order,
            order.deadlines_order,
            {"end": s.DueOrderEnd},
        ),
        "trade": Kind(
            trade.Trade,
            "contract_id",
            trade.TRADE_MACHINE,
            trade.reduce_trade,
            trade.index_trade,
            trade.deadlines_trade,
            {"step": s.DueTradeStep},
        ),
        "twin": Kind(twin.Twin, "contract_id", twin.TWIN_MACHINE, twin.reduce_twin, twin.index_twin),
        "source": Kind(source.Source, "source", source.SOURCE_MACHINE, source.reduce_source, source.index_source),
    }
)
_KIND_OF = {kind.state: name for name, kind in KINDS.items()}

_DIRECT: Mapping[type[Event], tuple[str, str]] = {
    e.LoggedStreamRegistered: ("stream", "sid"),
    e.LoggedWriterSet: ("stream", "sid"),
    e.LoggedCommitted: ("stream", "sid"),
    e.LoggedStreamTransferred: ("stream", "sid"),
    e.LoggedGranted: ("consent", "grant_id"),
    e.LoggedRevoked: ("consent", "grant_id"),
    e.LoggedKeyRegistered: ("consent", "grant_id"),
    e.ReceivedRevocation: ("consent", "grant_id"),
    e.DueConsentEnd: ("consent", "grant_id"),
    e.LoggedDevicePaired: ("device", "device_hash"),
    e.LoggedDeviceUnpaired: ("device", "device_hash"),
    e.ReceivedPairing: ("device", "device_hash"),
    e.ReceivedConsentRequest: ("request", "request_id"),
    e.RequestedConsentView: ("request", "request_id"),
    e.RequestedConsentGrant: ("request", "request_id"),
    e.RequestedConsentDenial: ("request", "request_id"),
    e.ReceivedAnswerReceipt: ("request", "request_id"),
    e.DueRequestDeadline: ("request", "request_id"),
    e.RequestedConsent: ("asking", "request_id"),
    e.ReceivedConsentGranted: ("asking", "request_id"),
    e.ReceivedConsentDenied: ("asking", "request_id"),
    e.DueAskingDeadline: ("asking", "request_id"),
    er.RequestedErasure: ("erasure", "grant_id"),
    er.ReceivedErasureRequest: ("erasure", "grant_id"),
    er.RequestedErasureReceipt: ("erasure", "grant_id"),
    er.ReceivedErasureReceipt: ("erasure", "grant_id"),
    e.RequestedSubmission: ("submission", "digest"),
    e.ReceivedSubmissionSent: ("submission", "digest"),
    e.ReceivedSubmissionDropped: ("submission", "digest"),
    e.ReceivedSubmissionRefused: ("submission", "digest"),
    e.DueSubmissionRetry: ("submission", "digest"),
    e.LoggedMessageIncluded: ("submission", "digest"),
    e.LoggedMessageRejected: ("submission", "digest"),
    s.ReceivedOrder: ("order", "order_id"),
    s.RequestedOrder: ("order", "order_id"),
    s.ReceivedRefusal: ("order", "order_id"),
    s.DueOrderEnd: ("order", "order_id"),
    s.LoggedOrderCancelled: ("order", "order_id"),
    s.LoggedMatched: ("trade", "contract_id"),
    s.LoggedProvisioned: ("trade", "contract_id"),
    s.LoggedDelivered: ("trade", "contract_id"),
    s.LoggedPaid: ("trade", "contract_id"),
    s.LoggedConfirmed: ("trade", "contract_id"),
    s.LoggedReminded: ("trade", "contract_id"),
    s.LoggedClaimIssued: ("trade", "contract_id"),
    s.LoggedClaimCured: ("trade", "contract_id"),
    s.LoggedDisputed: ("trade", "contract_id"),
    s.LoggedRuled: ("trade", "contract_id"),
    s.LoggedCollected: ("trade", "contract_id"),
    s.LoggedContractCancelled: ("trade", "contract_id"),
    s.RequestedTradeWatch: ("trade", "contract_id"),
    s.DueTradeStep: ("trade", "contract_id"),
    s.RequestedTradeNotice: ("trade", "contract_id"),
    s.RequestedTradeProgress: ("trade", "contract_id"),
    s.RequestedRefusal: ("submission", "digest"),
    s.LoggedSourceRegistered: ("source", "source"),
    s.LoggedSharesIssued: ("source", "source"),
    s.LoggedMeterReset: ("source", "source"),
    s.LoggedSourcePauseSet: ("source", "source"),
    s.LoggedProduced: ("source", "source"),
    s.RequestedReading: ("source", "source"),
    t.RequestedTwin: ("twin", "contract_id"),
    t.ReceivedTwin: ("twin", "contract_id"),
    t.RequestedTwinEntry: ("twin", "contract_id"),
    t.ReceivedTwinEntry: ("twin", "contract_id"),
    t.ReceivedTwinFork: ("twin", "contract_id"),
    t.RequestedTwinAnchor: ("twin", "contract_id"),
    t.ReceivedTwinAnchor: ("twin", "contract_id"),
}


@dataclass(frozen=True, slots=True)
class Route:
    """Whom an event concerns: the named aggregates, and those that a store finds by its index.

    `above`: every state whose `top_block` is higher. `settled`: every state whose `unsettled` is at most the height, or
    whose `chain_deadline` lies before the time. `linked`: (kind, link name, value).
    """

    direct: tuple[AggregateId, ...] = ()
    above: int | None = None
    settled: tuple[int, int] | None = None
    linked: tuple[str, str, bytes] | None = None

    def covers(self, aggregate: AggregateId, index: StateIndex) -> bool:
        """Whether a state with this index is concerned besides those that are named."""
        if self.above is not None and index.top_block is not None and index.top_block > self.above:
            return True
        if self.settled is not None:
            height, time = self.settled
            if index.unsettled is not None and index.unsettled <= height:
                return True
            if index.chain_deadline is not None and index.chain_deadline < time:
                return True
        return self.linked is not None and aggregate.kind == self.linked[0] and self.linked[1:] in index.links


def route(event: Event) -> Route:
    """Raises WrongAggregate for an event that no aggregate takes."""
    if isinstance(event, e.LoggedRolledBack):
        return Route(above=event.ancestor_height)
    if isinstance(event, e.LoggedFinalized):
        return Route(settled=(event.height, event.time))
    if isinstance(event, s.RequestedTradeWord):
        return Route(tuple(AggregateId("trade", contract) for contract in event.contracts))
    if type(event) not in _DIRECT:
        raise WrongAggregate(f"no aggregate takes {type(event).__name__}")
    kind, key = _DIRECT[type(event)]
    direct = (AggregateId(kind, getattr(event, key)),)
    if isinstance(event, s.LoggedMatched):
        return Route((AggregateId("order", event.offer), AggregateId("order", event.request), *direct))
    if isinstance(event, e.LoggedStreamTransferred):
        return Route(direct, linked=("consent", "sid", event.sid))
    return Route(direct)


def aggregate_of(state: State) -> AggregateId:
    name = _KIND_OF[type(state)]
    return AggregateId(name, getattr(state, KINDS[name].key))


@lru_cache(maxsize=4_096)  # a store asks when it looks for a state and again when it writes it
def initial(aggregate: AggregateId) -> State:
    """The state of an aggregate that nothing has happened to. Raises WrongAggregate for an unknown kind."""
    if aggregate.kind not in KINDS:
        raise WrongAggregate(f"there is no aggregate of kind {aggregate.kind}")
    kind = KINDS[aggregate.kind]
    return kind.state(**{kind.key: aggregate.key})


def reduce(state: State, event: Event) -> Step[State]:
    """One step of one aggregate. Pure: the caller keeps the state that is returned and carries out the effects.

    Raises IllegalMove, RequestRefused, ContradictingFact, HistoryTooShort or WrongAggregate; then nothing happened.
    """
    return KINDS[_KIND_OF[type(state)]].reduce(state, event)


def index_of(state: State) -> StateIndex:
    return KINDS[_KIND_OF[type(state)]].index(state)


def deadlines_of(state: State) -> tuple[Deadline, ...]:
    """All times the state waits for; a store replaces the aggregate's timers by these after each step."""
    return KINDS[_KIND_OF[type(state)]].deadlines(state)


def due_event(aggregate: AggregateId, name: str, at: int) -> Event:
    """The event to reduce when the deadline `name` has come; `at` is the present time, not the planned one."""
    return KINDS[aggregate.kind].due[name](aggregate.key, at)
