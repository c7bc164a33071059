"""The digital twin at its holders: who gets what, once, and what a second twin of one trade means (M-42, M-67)."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from node.projection.aggregates import initial, reduce
from node.projection.base import AggregateId, Effect, Event
from node.projection.effects import NotifyTwinForked, NotifyTwinOpened, SendParcel
from node.projection.errors import RequestUnknown, WrongParty
from node.projection.twin import TWIN_LIFETIME, Twin, TwinStatus
from node.projection.twin_events import (
    Invitation,
    ReceivedTwin,
    ReceivedTwinEntry,
    ReceivedTwinFork,
    RequestedTwin,
    RequestedTwinEntry,
)
from tests.unit.node.projection.kit import OWNER, PROVIDER, address, h32

C = h32("c")
SELLER, BUYER = address("s"), address("b")
OTHER = replace(PROVIDER, address=BUYER, url="https://buyer.example")
HOME = replace(PROVIDER, address=OWNER, url="https://home.example")
PARTIES = (PROVIDER.address, SELLER, BUYER)


def told(*events: Event) -> tuple[Twin, list[Effect]]:
    state, effects = initial(AggregateId("twin", C)), list[Effect]()
    for event in events:
        step = reduce(state, event)
        state = step.state
        effects += step.effects
    assert isinstance(state, Twin)
    return state, effects


def at_market() -> RequestedTwin:
    invited = (Invitation(PROVIDER, '{"for":"seller"}'), Invitation(OTHER, '{"for":"buyer"}'))
    return RequestedTwin(C, PROVIDER.address, b"sealed", PARTIES, (PROVIDER, OTHER), invited, 100)


def at_partner() -> ReceivedTwin:
    invited = (Invitation(HOME, '{"for":"home"}'),)
    return ReceivedTwin(C, PROVIDER.address, b"sealed", PARTIES, (PROVIDER, OTHER), (HOME,), invited, 100)


def test_everybody_is_invited_with_a_key_of_their_own() -> None:
    state, effects = told(at_market(), at_market())
    assert state.status is TwinStatus.OPEN
    until = 100 + TWIN_LIFETIME
    assert effects == [
        NotifyTwinOpened(C),
        SendParcel(PROVIDER, "twin.open", '{"for":"seller"}', C, until),
        SendParcel(OTHER, "twin.open", '{"for":"buyer"}', C, until),
    ], "once"


def test_an_own_entry_goes_to_all_and_anothers_to_the_household_only() -> None:
    state, effects = told(
        at_partner(),
        RequestedTwinEntry(C, b"mine", 200),
        ReceivedTwinEntry(C, b"theirs", 201),
        ReceivedTwinEntry(C, b"theirs", 202),
        RequestedTwinEntry(C, b"mine", 203),
    )
    assert state.entries == (b"mine", b"theirs")
    sent = [(e.peer.url, json.loads(e.body)["entry"], e.until) for e in effects[2:] if isinstance(e, SendParcel)]
    mine, theirs = "0x" + b"mine".hex(), "0x" + b"theirs".hex()
    assert sent == [
        (PROVIDER.url, mine, 200 + TWIN_LIFETIME),
        (OTHER.url, mine, 200 + TWIN_LIFETIME),
        (HOME.url, mine, 200 + TWIN_LIFETIME),
        (HOME.url, theirs, 201 + TWIN_LIFETIME),
    ]


def test_a_second_twin_of_one_trade_is_refused() -> None:
    state, _ = told(at_partner())
    with pytest.raises(WrongParty):
        reduce(state, replace(at_partner(), operator=OTHER.address))
    with pytest.raises(WrongParty):
        reduce(state, replace(at_partner(), parties=(PROVIDER.address, SELLER)))


def test_nothing_is_written_to_a_twin_that_was_not_opened() -> None:
    for event in (RequestedTwinEntry(C, b"mine", 1), ReceivedTwinEntry(C, b"theirs", 1)):
        with pytest.raises(RequestUnknown):
            told(event)


def test_a_fork_is_kept_as_evidence_told_once_and_ends_nothing() -> None:
    fork = ReceivedTwinFork(C, b"one", b"other", 300)
    state, effects = told(at_partner(), fork, replace(fork, first=b"third"), RequestedTwinEntry(C, b"mine", 301))
    assert state.status is TwinStatus.FORKED
    assert state.fork == (b"one", b"other")
    assert state.entries == (b"mine",)
    assert effects.count(NotifyTwinForked(C)) == 1
