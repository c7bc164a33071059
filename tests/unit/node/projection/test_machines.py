"""style.md 3, permissions.md 3: tables are whole. Every row happens, nothing else does, terminal statuses are final."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from node.errors import NodeError
from node.projection import erasure_events as er
from node.projection import events as e
from node.projection.aggregates import KINDS, due_event, initial, reduce
from node.projection.base import AggregateId, Event, Peer, State
from node.projection.consent import ConsentStatus
from node.projection.device import DeviceStatus
from node.projection.errors import ContradictingFact, HistoryTooShort, IllegalMove
from node.projection.submission import SUBMISSION_MACHINE, SubmissionStatus
from tests.unit.node.projection.alphabets import SETTLEMENT
from tests.unit.node.projection.kit import (
    OWNER,
    PROVIDER,
    READER,
    STRANGER,
    address,
    block,
    commit,
    granted,
    h32,
    revoked,
)

FAR = 10**9


def _answers(kind: str) -> tuple[Event, ...]:
    peer: Peer = PROVIDER
    key = h32("q")
    if kind == "request":
        return (
            e.ReceivedConsentRequest(key, peer, "{}", 100, 1),
            e.RequestedConsentView(key, 2),
            e.RequestedConsentGrant(key, h32("g"), "{}", 3),
            e.RequestedConsentDenial(key, "no", "{}", 3),
            e.DueRequestDeadline(key, 100),
            e.ReceivedAnswerReceipt(key, 5),
        )
    return (
        e.RequestedConsent(key, peer, "{}", 100, 1),
        e.ReceivedConsentGranted(key, peer.address, h32("g"), "{}", 3),
        e.ReceivedConsentDenied(key, peer.address, "no", 3),
        e.DueAskingDeadline(key, FAR),
    )


def _submissions(kind: str, deadline: int | None) -> tuple[Event, ...]:
    key = h32("d")
    return (
        e.RequestedSubmission(key, kind, "{}", (b"\x01" * 65,), deadline, 1),
        e.ReceivedSubmissionSent(key, h32("x"), 2),
        e.ReceivedSubmissionDropped(key, 2),
        e.ReceivedSubmissionRefused(key, "no", 2),
        e.DueSubmissionRetry(key, FAR),
        e.LoggedMessageIncluded(block(5), key),
        e.LoggedMessageRejected(block(5), key, b"\x01\x02\x03\x04"),
        e.LoggedRolledBack(4),
        e.LoggedFinalized(5, 50),
        e.LoggedFinalized(5, 500),
    )


# For each kind what can happen to one aggregate; a breadth-first walk over it finds every state that can be.
ALPHABETS: dict[str, tuple[tuple[bytes, tuple[Event, ...]], ...]] = {
    "stream": (
        (
            h32("s"),
            (
                e.LoggedStreamRegistered(block(5), h32("s"), OWNER, address("w"), h32("n"), h32("k"), 0, 60),
                e.LoggedWriterSet(block(6), h32("s"), bytes(20), h32("k")),
                e.LoggedWriterSet(block(7), h32("s"), address("v"), h32("k")),
                e.LoggedStreamTransferred(block(7), h32("s"), OWNER, STRANGER),
                commit(6, 1),
                e.LoggedRolledBack(4),
                e.LoggedRolledBack(5),
                e.LoggedRolledBack(6),
                e.LoggedFinalized(6, 1),
            ),
        ),
    ),
    "consent": (
        (
            h32("g"),
            (
                granted(5, end=2_000),
                revoked(6),
                revoked(6, by=STRANGER),
                e.ReceivedRevocation(h32("g"), OWNER, bytes(32), 1),
                e.LoggedKeyRegistered(block(6), h32("g"), h32("K")),
                e.DueConsentEnd(h32("g"), 2_000),
                e.LoggedRolledBack(4),
                e.LoggedFinalized(6, 1),
            ),
        ),
        (
            h32("g"),
            (
                granted(5),
                revoked(6, by=READER, sid=h32("s")),
                e.LoggedStreamTransferred(block(7), h32("s"), OWNER, STRANGER),
                e.LoggedStreamTransferred(block(7), h32("t"), OWNER, STRANGER),
                e.LoggedRolledBack(4),
                e.LoggedRolledBack(6),
                e.LoggedFinalized(6, 1),
            ),
        ),
    ),
    "device": (
        (
            h32("d"),
            (
                e.ReceivedPairing(h32("d"), OWNER, address("d"), h32("salt"[0]), PROVIDER, "meter", 1),
                e.LoggedDevicePaired(block(5), OWNER, h32("d"), address("d")),
                e.LoggedDeviceUnpaired(block(6), OWNER, h32("d")),
                e.LoggedDeviceUnpaired(block(6), STRANGER, h32("d")),
                e.LoggedRolledBack(4),
                e.LoggedFinalized(5, 1),
            ),
        ),
    ),
    "request": ((h32("q"), _answers("request")),),
    "asking": ((h32("q"), _answers("asking")),),
    "submission": ((h32("d"), _submissions("Grant", 100)), (h32("d"), _submissions("Revoke", None))),
}


ALPHABETS |= SETTLEMENT
ALPHABETS["erasure"] = tuple(
    (
        h32("g"),
        (
            er.RequestedErasure(h32("g"), peer, "{}", "moved", 1),
            er.ReceivedErasureRequest(h32("g"), "moved", 2),
            er.RequestedErasureReceipt(h32("g"), "{}", peer, 3),
            er.ReceivedErasureReceipt(h32("g"), "{}", 4),
        ),
    )
    for peer in (None, PROVIDER)
)


def explore(kind: str, key: bytes, alphabet: Iterable[Event]) -> tuple[set[State], set[tuple[Any, type[Event], Any]]]:
    """All states that sequences of these events lead to, and the moves between statuses seen on the way."""
    start = initial(AggregateId(kind, key))
    seen, todo, moves = {start}, [start], set()
    while todo:
        state: Any = todo.pop()
        for event in alphabet:
            try:
                after: Any = reduce(state, event).state
            except NodeError:
                continue
            if after.status != state.status:
                moves.add((state.status, type(event), after.status))
            if after not in seen:
                seen.add(after)
                todo.append(after)
    return seen, moves


@pytest.fixture(scope="module")
def explored() -> dict[str, tuple[set[State], set[tuple[Any, type[Event], Any]]]]:
    found = {}
    for kind, runs in ALPHABETS.items():
        states: set[State] = set()
        moves: set[tuple[Any, type[Event], Any]] = set()
        for key, alphabet in runs:
            more, seen = explore(kind, key, alphabet)
            states |= more
            moves |= seen
        found[kind] = (states, moves)
    return found


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_row_happens_and_nothing_else(kind: str, explored: dict[str, Any]) -> None:
    table = {(s, event, t) for (s, event), targets in KINDS[kind].machine.moves.items() for t in targets}
    assert explored[kind][1] == table


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_status_is_reachable(kind: str, explored: dict[str, Any]) -> None:
    machine = KINDS[kind].machine
    members: set[Any] = set(machine.start.__class__.__members__.values())
    assert machine.reachable() == members
    assert {state.status for state in explored[kind][0]} == members


def _outcome(state: State, event: Event) -> object:
    """The step, or the error that was raised instead."""
    try:
        return reduce(state, event)
    except NodeError as error:
        return type(error)


@pytest.mark.parametrize("kind", list(KINDS))
def test_reducers_are_pure(kind: str, explored: dict[str, Any]) -> None:
    """The same call twice gives the same answer, and the input is what it was."""
    alphabet = [event for _, events in ALPHABETS[kind] for event in events]
    events = repr(alphabet)
    for state in explored[kind][0]:
        before = repr(state)
        for event in alphabet:
            assert _outcome(state, event) == _outcome(state, event)
        assert repr(state) == before
    assert repr(alphabet) == events


def test_terminal_statuses_are_final() -> None:
    terminal = {kind: {status.value for status in each.machine.terminal()} for kind, each in KINDS.items()}
    assert terminal == {
        "stream": set(),
        "consent": {"revoked", "voided", "ended"},
        "device": {"unpaired"},
        "request": {"answered"},
        "asking": {"granted", "denied", "expired"},
        "erasure": {"done"},
        "submission": set(),
        "order": set(),
        "trade": set(),
        "twin": {"forked"},
        "source": set(),
    }
    # What the chain decided with finality, only the chain can change, by a reorg below finality.
    over = (SubmissionStatus.FINAL, SubmissionStatus.FAILED)
    exits = {event for (source, event) in SUBMISSION_MACHINE.moves if source in over}
    assert exits == {e.LoggedRolledBack, e.LoggedMessageIncluded}


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_deadline_that_came_is_gone(kind: str, explored: dict[str, Any]) -> None:
    """Otherwise the scheduler would tell it again for ever."""
    for state in explored[kind][0]:
        for deadline in KINDS[kind].deadlines(state):
            event = due_event(AggregateId(kind, getattr(state, KINDS[kind].key)), deadline.name, deadline.at)
            after = reduce(state, event).state
            assert deadline not in KINDS[kind].deadlines(after)


@pytest.mark.parametrize("kind", list(KINDS))
def test_nothing_waits_for_a_block_that_is_final(kind: str, explored: dict[str, Any]) -> None:
    for state in explored[kind][0]:
        after = reduce(state, e.LoggedFinalized(100, 10**12)).state if kind not in ("request", "asking") else state
        index = KINDS[kind].index(after)
        assert index.unsettled is None
        assert index.chain_deadline is None


@pytest.mark.parametrize("kind", list(KINDS))
def test_after_a_roll_back_nothing_stands_above_it(kind: str, explored: dict[str, Any]) -> None:
    for state in explored[kind][0]:
        if kind in ("request", "asking"):
            assert KINDS[kind].index(state).top_block is None
            continue
        top = KINDS[kind].index(reduce(state, e.LoggedRolledBack(3)).state).top_block
        assert top is None


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_chain_never_makes_an_illegal_move(kind: str, explored: dict[str, Any]) -> None:
    """What is on chain cannot be refused: the reader would stand still for ever. A contradiction may be."""
    for state in explored[kind][0]:
        for _, alphabet in ALPHABETS[kind]:
            for event in alphabet:
                if type(event).__name__.startswith("Logged"):
                    try:
                        reduce(state, event)
                    except (ContradictingFact, HistoryTooShort):
                        continue


def test_an_illegal_move_is_an_error_of_its_own() -> None:
    with pytest.raises(IllegalMove, match="no move from none to live"):
        KINDS["consent"].machine.move(ConsentStatus.NONE, granted(1), ConsentStatus.LIVE)
    with pytest.raises(IllegalMove):
        KINDS["device"].machine.move(DeviceStatus.UNPAIRED, e.LoggedFinalized(1, 1), DeviceStatus.PAIRED)


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_diagrams_in_the_readme_are_those_of_the_tables(kind: str) -> None:
    readme = (Path(__file__).parents[4] / "node" / "projection" / "README.md").read_text(encoding="utf-8")
    assert f"```mermaid\n{KINDS[kind].machine.diagram()}```" in readme
