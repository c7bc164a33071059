"""Erasure on both sides: the owner asks, the reader does it once, the receipt stands (permissions.md 1)."""

from __future__ import annotations

import pytest

from node.projection.aggregates import initial, reduce
from node.projection.base import AggregateId, Effect, Event
from node.projection.effects import NotifyErased, SendParcel
from node.projection.erasure import ERASURE_LIFETIME, Erasure, ErasureStatus
from node.projection.erasure_events import (
    ReceivedErasureReceipt,
    ReceivedErasureRequest,
    RequestedErasure,
    RequestedErasureReceipt,
)
from node.projection.errors import IllegalMove
from node.projection.events import LoggedRolledBack
from tests.unit.node.projection.kit import OWNER, PROVIDER, h32

G = h32("g")


def told(*events: Event) -> tuple[Erasure, list[Effect]]:
    state, effects = initial(AggregateId("erasure", G)), list[Effect]()
    for event in events:
        step = reduce(state, event)
        state = step.state
        effects += step.effects
    assert isinstance(state, Erasure)
    return state, effects


def test_the_owner_asks_the_reader_and_keeps_its_receipt() -> None:
    ask = RequestedErasure(G, PROVIDER, '{"ask":1}', "moved", 10)
    state, effects = told(ask)
    assert (state.status, state.by_owner, state.reason, state.asked_at) == (ErasureStatus.ASKED, True, "moved", 10)
    assert effects == [SendParcel(PROVIDER, "consent.erase", '{"ask":1}', G, 10 + ERASURE_LIFETIME)]
    state, effects = told(ask, RequestedErasure(G, PROVIDER, '{"ask":1}', "again", 20))
    assert (state.reason, len(effects)) == ("moved", 2), "whoever insists asks once more"
    state, effects = told(ask, ReceivedErasureReceipt(G, "receipt", 30), ReceivedErasureReceipt(G, "another", 40))
    assert (state.status, state.receipt, state.done_at) == (ErasureStatus.DONE, "receipt", 30)
    assert effects[1:] == [NotifyErased(G)]
    assert told(ask, ReceivedErasureReceipt(G, "receipt", 30), ask)[0].receipt == "receipt"


def test_the_reader_does_it_once_and_tells_whose_wish_it_was() -> None:
    asked, done = ReceivedErasureRequest(G, "moved", 10), RequestedErasureReceipt(G, "receipt", PROVIDER, 30)
    state, effects = told(asked, asked)
    assert (state.status, state.by_owner, effects) == (ErasureStatus.DUE, True, [])
    state, effects = told(asked, done, RequestedErasureReceipt(G, "second", PROVIDER, 31), asked)
    assert (state.status, state.receipt) == (ErasureStatus.DONE, "receipt")
    assert effects == [
        NotifyErased(G),
        SendParcel(PROVIDER, "consent.erased", "receipt", G, 30 + ERASURE_LIFETIME),
    ]
    own = RequestedErasure(G, None, "{}", "kept long enough", 10)
    state, effects = told(own, asked, RequestedErasureReceipt(G, "receipt", None, 30))
    assert (state.status, state.by_owner, effects) == (ErasureStatus.DONE, False, [NotifyErased(G)])


def test_a_receipt_that_nobody_asked_for_is_kept_and_no_chain_takes_it_back() -> None:
    state, _ = told(ReceivedErasureReceipt(G, "receipt", 30), LoggedRolledBack(0))
    assert (state.status, state.receipt) == (ErasureStatus.DONE, "receipt")


def test_attack_a_receipt_without_an_erasure_is_no_move() -> None:
    with pytest.raises(IllegalMove):
        told(RequestedErasureReceipt(G, "receipt", None, 1))
    with pytest.raises(IllegalMove):
        told(ReceivedErasureRequest(G, "", 1), ReceivedErasureReceipt(G, "somebody else's", 2))
    assert PROVIDER.address != OWNER
