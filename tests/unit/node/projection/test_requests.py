"""permissions.md 1 and 5: asking for a consent and answering, at the home and at the provider."""

from __future__ import annotations

from typing import Any

import pytest

from node.errors import Gone, NotFound, Refused
from node.projection import effects as f
from node.projection import events as e
from node.projection.aggregates import KINDS, initial, reduce
from node.projection.asking import ANSWER_GRACE, AskingStatus
from node.projection.base import AggregateId, Effect, Event
from node.projection.errors import IllegalMove, RequestEnded, RequestUnknown, WrongParty
from node.projection.request import ANSWER_LIFETIME, RequestStatus
from tests.unit.node.projection.kit import HOME, PROVIDER, STRANGER, address, h32

Q, G = h32("q"), h32("g")
ARRIVES = e.ReceivedConsentRequest(Q, PROVIDER, '{"purpose":"x"}', 100, 10)
ASKS = e.RequestedConsent(Q, HOME, '{"purpose":"x"}', 100, 5)


def fold(kind: str, *events: Event) -> tuple[Any, list[Effect]]:
    state: Any = initial(AggregateId(kind, Q))
    effects: list[Effect] = []
    for event in events:
        step = reduce(state, event)
        state = step.state
        effects.extend(step.effects)
    return state, effects


def test_received_shown_granted_answered() -> None:
    request, effects = fold(
        "request",
        ARRIVES,
        e.RequestedConsentView(Q, 20),
        e.RequestedConsentGrant(Q, G, '{"grant":1}', 30),
        e.ReceivedAnswerReceipt(Q, 40),
        e.ReceivedAnswerReceipt(Q, 41),
    )
    assert (request.status, request.outcome) == (RequestStatus.ANSWERED, RequestStatus.GRANTED)
    assert (request.received_at, request.shown_at, request.decided_at, request.grant_id) == (10, 20, 30, G)
    parcel = f.SendParcel(PROVIDER, "consent.granted", '{"grant":1}', Q, 30 + ANSWER_LIFETIME)
    assert effects == [f.NotifyRequestReceived(Q), parcel]


def test_a_refusal_carries_its_reason() -> None:
    request, effects = fold("request", ARRIVES, e.RequestedConsentDenial(Q, "too much", '{"reason":"too much"}', 30))
    assert (request.status, request.reason) == (RequestStatus.DENIED, "too much")
    assert effects[-1] == f.SendParcel(PROVIDER, "consent.denied", '{"reason":"too much"}', Q, 30 + ANSWER_LIFETIME)


def test_a_request_that_nobody_answers_runs_out_and_both_sides_learn_it() -> None:
    request, effects = fold("request", ARRIVES, e.DueRequestDeadline(Q, 99), e.DueRequestDeadline(Q, 100))
    assert request.status is RequestStatus.EXPIRED
    assert [type(effect) for effect in effects[1:]] == [f.SendParcel, f.NotifyRequestEnded]
    assert KINDS["request"].deadlines(request) == ()
    asking, effects = fold("asking", ASKS, e.DueAskingDeadline(Q, 100 + ANSWER_GRACE))
    assert (asking.status, effects[-1]) == (AskingStatus.EXPIRED, f.NotifyRequestEnded(Q, "expired", ""))


@pytest.mark.parametrize(
    "event",
    [
        e.RequestedConsentView(Q, 20),
        e.RequestedConsentGrant(Q, G, "{}", 20),
        e.RequestedConsentDenial(Q, "", "{}", 20),
        e.ReceivedAnswerReceipt(Q, 20),
    ],
)
def test_an_unknown_request_is_refused(event: Event) -> None:
    with pytest.raises(RequestUnknown) as caught:
        fold("request", event)
    assert isinstance(caught.value, NotFound)


@pytest.mark.parametrize(
    "event",
    [
        ARRIVES,
        e.RequestedConsentView(Q, 40),
        e.RequestedConsentGrant(Q, h32("z"), "{}", 40),
        e.RequestedConsentDenial(Q, "", "{}", 40),
    ],
)
def test_an_ended_request_is_refused(event: Event) -> None:
    for ending in (e.RequestedConsentGrant(Q, G, "{}", 30), e.RequestedConsentDenial(Q, "no", "{}", 30)):
        with pytest.raises(RequestEnded) as caught:
            fold("request", ARRIVES, ending, event)
        assert isinstance(caught.value, Gone)


def test_time_is_up_even_before_the_timer_was_told() -> None:
    with pytest.raises(RequestEnded):
        fold("request", ARRIVES, e.RequestedConsentGrant(Q, G, "{}", 100))
    with pytest.raises(RequestEnded):
        fold("request", e.ReceivedConsentRequest(Q, PROVIDER, "{}", 100, 100))


def test_granting_twice_is_granting_once() -> None:
    grant = e.RequestedConsentGrant(Q, G, "{}", 30)
    assert fold("request", ARRIVES, ARRIVES, grant, grant) == fold("request", ARRIVES, grant)


def test_one_id_with_two_bodies_is_refused() -> None:
    """Attack: a second party sends its own terms under an id that the person is looking at."""
    other = e.ReceivedConsentRequest(Q, PROVIDER, '{"purpose":"other"}', 100, 11)
    with pytest.raises(WrongParty) as caught:
        fold("request", ARRIVES, other)
    assert isinstance(caught.value, Refused)


def test_a_receipt_before_the_answer_is_an_illegal_move() -> None:
    with pytest.raises(IllegalMove):
        fold("request", ARRIVES, e.ReceivedAnswerReceipt(Q, 20))


def test_the_provider_asks_and_takes_the_first_answer() -> None:
    yes = e.ReceivedConsentGranted(Q, HOME.address, G, "{}", 30)
    asking, effects = fold("asking", ASKS, ASKS, yes, yes)
    assert (asking.status, asking.grant_id) == (AskingStatus.GRANTED, G)
    parcel = f.SendParcel(HOME, "consent.request", '{"purpose":"x"}', Q, 100)
    assert effects == [parcel, f.NotifyRequestGranted(Q, G)]
    with pytest.raises(RequestEnded):
        fold("asking", ASKS, yes, e.ReceivedConsentDenied(Q, HOME.address, "no", 40))


def test_nobody_else_may_answer() -> None:
    """Attack: whoever learns a request id answers it."""
    for answer in (
        e.ReceivedConsentGranted(Q, STRANGER, G, "{}", 30),
        e.ReceivedConsentDenied(Q, STRANGER, "no", 30),
    ):
        with pytest.raises(WrongParty):
            fold("asking", ASKS, answer)
        with pytest.raises(RequestUnknown):
            fold("asking", answer)


def test_a_request_by_code_is_bound_to_the_first_who_answers() -> None:
    """permissions.md 5: two scans of one code."""
    code = e.RequestedConsent(Q, None, "{}", 100, 5)
    asking, effects = fold("asking", code, e.ReceivedConsentGranted(Q, HOME.address, G, "{}", 30))
    assert (asking.party, len(effects)) == (HOME.address, 1)
    second = e.ReceivedConsentGranted(Q, address("y"), h32("z"), "{}", 31)
    with pytest.raises(WrongParty):
        fold("asking", code, e.ReceivedConsentGranted(Q, HOME.address, G, "{}", 30), second)
