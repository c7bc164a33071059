"""permissions.md 2: the machines' edges: any bytes, steps out of order, and what is saved of an exchange."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.services.pairing import wire
from node.services.pairing.code import parse_code
from node.services.pairing.errors import (
    IllegalMove,
    MalformedMessage,
    NoCode,
    PairingRefused,
    StateDamaged,
    UnknownAttempt,
)
from node.services.pairing.exchange import SharedKey
from node.services.pairing.gateway_state import GatewayState
from node.services.pairing.models import Pairing, Place, fingerprint
from node.services.pairing.saved import gateway_from_dict, gateway_to_dict, home_from_dict, home_to_dict
from node.services.pairing.table import HomeStatus
from tests.unit.services.pairing.builders import (
    DEADLINE,
    GATEWAY_ID,
    LIFETIME,
    NONCE,
    NOW,
    URL,
    Gateway,
    claim,
    evil_identity,
    greet,
    home,
    pair,
)


@settings(deadline=None)
@given(st.binary(max_size=300), st.sampled_from(["hello", "confirm", "finish", "other"]))
def test_any_bytes_are_refused_without_a_trace(data: bytes, step: str) -> None:
    gateway = Gateway.fresh()
    before = gateway.state
    outcome = gateway.answer(step, data)
    assert isinstance(outcome.refusal, PairingRefused)
    assert gateway.state == before


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_answer_to_the_home_ends_the_attempt(data: bytes) -> None:
    begun = home().begin(parse_code(Gateway.fresh().typed()))
    outcome = home().received_hello(begun.state, data)
    assert outcome.refusal is not None
    assert outcome.state.status is HomeStatus.FAILED
    assert outcome.state.exchange == b""


def test_size_is_checked_first() -> None:
    with pytest.raises(MalformedMessage, match="at most"):
        Gateway.fresh().post("hello", bytes(wire.MAX_MESSAGE + 1))


async def test_steps_out_of_order() -> None:
    machine, gateway = home(), Gateway.fresh()
    begun = machine.begin(parse_code(gateway.typed()))
    for call in (machine.received_confirm, machine.received_finish):
        with pytest.raises(IllegalMove):
            call(begun.state, b"")
    with pytest.raises(IllegalMove):
        machine.propose(begun.state, NONCE, DEADLINE)
    with pytest.raises(UnknownAttempt):
        gateway.post("finish", wire.frame(5, begun.state.attempt, sealed=b"x"))
    with pytest.raises(UnknownAttempt):
        gateway.post("confirm", wire.frame(3, begun.state.attempt, bytes(32)))
    done = await pair(gateway)
    with pytest.raises(IllegalMove):
        machine.received_hello(done.state, b"")


def test_giving_up_forgets_the_secrets() -> None:
    greeted = greet(Gateway.fresh())
    outcome = home().gave_up(greeted.state, NoCode("the person stopped"))
    assert outcome.state.status is HomeStatus.FAILED
    assert (outcome.state.root, outcome.state.exchange) == (b"", b"")
    with pytest.raises(NoCode):
        outcome.raised()


async def test_states_do_not_show_their_secrets() -> None:
    gateway = Gateway.fresh()
    secrets = [gateway.state.secret]
    shown = [repr(gateway.state)]
    greeted = greet(gateway)
    secrets += [greeted.state.root, gateway.state.sessions[0].root]
    shown += [repr(greeted), repr(gateway.state)]
    met = home().received_confirm(greeted.state, gateway.post("confirm", greeted.message))
    assert gateway.state.meeting is not None
    secrets += [met.state.salt, gateway.state.meeting.root]
    shown += [repr(met), repr(gateway.state), repr(SharedKey(met.state.root, met.state.transcript))]
    for secret in secrets:
        for text in shown:
            assert repr(secret)[2:-1] not in text
            assert secret.hex() not in text


def paths(document: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [here] if here else []
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in items:
        found += paths(value, (*here, key))
    return found


@settings(max_examples=60, deadline=None)
@given(st.data())
async def test_a_damaged_saved_state_is_said_and_not_half_loaded(data: st.DataObject) -> None:
    gateway = Gateway.fresh()
    greeted = greet(gateway)
    documents: list[Any] = [gateway_to_dict(gateway.state), home_to_dict(greeted.state)]
    claimed = await claim(gateway)
    gateway.answer("finish", claimed.message)
    documents += [gateway_to_dict(gateway.state), home_to_dict(claimed.state)]
    index = data.draw(st.integers(0, 3))
    document = json.loads(json.dumps(documents[index]))
    path = data.draw(st.sampled_from(paths(document)))
    target = document
    for key in path[:-1]:
        target = target[key]
    value = data.draw(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.integers(), max_size=2)
    )
    if data.draw(st.booleans()) and isinstance(target, dict):
        del target[path[-1]]
    else:
        target[path[-1]] = value
    read: Any = gateway_from_dict if index % 2 == 0 else home_from_dict
    with suppress(StateDamaged):
        found = read(document)
        assert read(gateway_to_dict(found) if index % 2 == 0 else home_to_dict(found)) == found


@pytest.mark.parametrize("document", [None, [], {}, {"version": 2}, {"version": 1}, "x"])
def test_what_is_no_saved_state(document: object) -> None:
    for read in (gateway_from_dict, home_from_dict):
        with pytest.raises(StateDamaged):
            read(document)


def test_a_status_without_what_it_promises_is_damage() -> None:
    document = gateway_to_dict(GatewayState())
    for status in ("open", "meeting", "claimed", "paired"):
        with pytest.raises(StateDamaged):
            gateway_from_dict({**document, "status": status})


def test_the_qr_code_names_device_and_place() -> None:
    gateway = Gateway.fresh()
    shown = gateway.machine.shown_code(gateway.state, NOW, URL)
    assert fingerprint(GATEWAY_ID).hex() in shown.qr
    assert shown.qr.endswith(URL)
    assert shown.expires_at == NOW + LIFETIME


@pytest.mark.parametrize("values", [(0, b"\x0c" * 20), (2**53, b"\x0c" * 20), (1, b"\x0c" * 19)])
def test_places_are_checked(values: tuple[int, bytes]) -> None:
    with pytest.raises(MalformedMessage):
        Place(*values)


async def test_pairings_agree_with_their_message() -> None:
    done = await pair(Gateway.fresh())
    assert done.state.pairing is not None
    for change in ({"salt": bytes(32)}, {"salt": b""}, {"device": evil_identity(b"\x66" * 20)}):
        with pytest.raises(MalformedMessage):
            replace(done.state.pairing, **change)
    assert isinstance(done.state.pairing, Pairing)
