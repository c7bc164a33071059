"""permissions.md 2: everybody who tries to get in between two devices that pair."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.services.pairing import wire
from node.services.pairing.code import parse_code
from node.services.pairing.errors import (
    AnotherPlace,
    ForgedMessage,
    IllegalMove,
    MalformedMessage,
    UnknownAttempt,
    WrongCode,
)
from node.services.pairing.exchange import SharedKey, later
from node.services.pairing.gateway_machine import (
    MAX_TRIES,
    GatewayMachine,
)
from node.services.pairing.gateway_state import GatewayState
from node.services.pairing.home_machine import HomeOutcome
from node.services.pairing.models import Place
from node.services.pairing.table import GatewayStatus, HomeStatus
from tests.unit.services.pairing.builders import (
    DEADLINE,
    LIFETIME,
    NONCE,
    NOW,
    OWNER,
    PLACE,
    Gateway,
    claim,
    evil_identity,
    greet,
    home,
    meet,
)


def test_a_reflected_message_is_refused() -> None:
    """SPAKE2's classic: whoever sends our own element back would share a key with us without any code."""
    gateway = Gateway.fresh()
    begun = home().begin(parse_code(gateway.typed()))
    element = wire.read_hello(begun.message).element
    for reflected in (element, b"B" + element[1:]):
        outcome = home().received_hello(begun.state, wire.frame(2, begun.state.attempt, reflected))
        assert isinstance(outcome.refusal, MalformedMessage)
        assert outcome.state.status is HomeStatus.FAILED
    assert isinstance(home().received_hello(begun.state, begun.message).refusal, MalformedMessage)


def test_a_reflected_proof_is_refused() -> None:
    gateway = Gateway.fresh()
    greeted = greet(gateway)
    mirrored = wire.frame(4, greeted.state.attempt, greeted.message[-32:], b"x" * 60)
    outcome = home().received_confirm(greeted.state, mirrored)
    assert isinstance(outcome.refusal, ForgedMessage)
    assert "another code" in outcome.refusal.message, "found by the proof, before anything sealed is opened"
    key = SharedKey(greeted.state.root, greeted.state.transcript)
    assert key.confirmation(b"home") != key.confirmation(b"gateway")


@pytest.mark.parametrize("element", [b"", b"B", b"B" + bytes(32), b"B\x01" + bytes(31), b"B" + b"\xff" * 32, b"S" * 33])
def test_elements_outside_the_group(element: bytes) -> None:
    begun = home().begin(parse_code(Gateway.fresh().typed()))
    outcome = home().received_hello(begun.state, wire.frame(2, begun.state.attempt, element))
    assert isinstance(outcome.refusal, MalformedMessage)
    gateway = Gateway.fresh()
    hello = wire.Hello(bytes(16), parse_code(gateway.typed()).method, PLACE, element)
    refusal = gateway.answer("hello", wire.pack_hello(hello)).refusal
    assert isinstance(refusal, MalformedMessage)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 255))
async def test_any_changed_byte_of_any_message_ends_it(position: int, flip: int) -> None:
    def bend(data: bytes) -> bytes:
        bent = bytearray(data)
        bent[position % len(bent)] ^= flip
        return bytes(bent)

    def never_met(gateway: Gateway, outcome: HomeOutcome) -> None:
        if outcome.refusal is None:
            answer = gateway.answer("confirm", outcome.message)
            assert answer.refusal is not None
            assert answer.answer == b""

    machine = home()
    for changed in ("hello", "hello answer"):
        gateway = Gateway.fresh()
        begun = machine.begin(parse_code(gateway.typed()))
        sent = bend(begun.message) if changed == "hello" else begun.message
        answer = gateway.answer("hello", sent)
        if answer.refusal is None:
            received = bend(answer.answer) if changed == "hello answer" else answer.answer
            never_met(gateway, machine.received_hello(begun.state, received))
    gateway = Gateway.fresh()
    greeted = greet(gateway)
    refused = gateway.answer("confirm", bend(greeted.message))
    assert refused.refusal is not None
    gateway = Gateway.fresh()
    greeted = greet(gateway)
    answer_bytes = gateway.post("confirm", greeted.message)
    assert machine.received_confirm(greeted.state, bend(answer_bytes)).refusal is not None
    claimed = await claim(gateway := Gateway.fresh())
    refused = gateway.answer("finish", bend(claimed.message))
    assert refused.refusal is not None
    assert refused.to_sign is None
    waiting = gateway.answer("finish", claimed.message).raised()
    signed = await gateway.sign(waiting.to_sign)
    assert machine.received_finish(claimed.state, bend(signed)).refusal is not None


def test_somebody_who_plays_both_sides_without_the_code_learns_nothing() -> None:
    """The man in the middle with his own identities: one guess on each side, and both find him out."""
    gateway, machine = Gateway.fresh(), home()
    begun = machine.begin(parse_code(gateway.typed()))
    false_gateway = GatewayMachine(PLACE, evil_identity(b"\x66" * 20))
    state = false_gateway.new_code(GatewayState(), NOW, LIFETIME)
    fooled = false_gateway.answer(state, "hello", begun.message, "x", NOW).raised()
    greeted = machine.received_hello(begun.state, fooled.answer).raised()
    refused = false_gateway.answer(fooled.state, "confirm", greeted.message, "x", NOW)
    assert isinstance(refused.refusal, WrongCode), "his guess was wrong"
    with pytest.raises(UnknownAttempt):
        gateway.post("confirm", greeted.message)
    forged = wire.frame(4, greeted.state.attempt, bytes(32), b"x" * 80)
    outcome = machine.received_confirm(greeted.state, forged)
    assert isinstance(outcome.refusal, ForgedMessage)
    assert outcome.state.status is HomeStatus.FAILED
    with pytest.raises(IllegalMove):
        machine.received_confirm(outcome.state, forged)


def test_a_relayed_exchange_cannot_have_its_identities_exchanged() -> None:
    """He relays faithfully, so both confirm; the identities are sealed under a key that he does not have."""
    gateway = Gateway.fresh()
    greeted = greet(gateway)
    genuine = wire.read_frame(gateway.post("confirm", greeted.message), 4, 32, sealed=True)
    content = {"identity": wire.identity_document(evil_identity(b"\x66" * 20)), "salt": wire.to_json(bytes(32))}
    sealed = SharedKey(bytes(32), greeted.state.transcript).seal(
        b"gateway", later(greeted.state.transcript, greeted.message), wire.pack_document(content), lambda n: bytes(n)
    )
    outcome = home().received_confirm(greeted.state, wire.frame(4, genuine.attempt, genuine.fixed, sealed))
    assert isinstance(outcome.refusal, ForgedMessage)


def test_a_scanned_code_accepts_only_its_own_device() -> None:
    """Even somebody who read the secret off the QR code cannot put another device in its place."""
    gateway = Gateway.fresh()
    code = gateway.qr()
    gateway.machine = GatewayMachine(PLACE, evil_identity(b"\x66" * 20))
    greeted = greet(gateway, code)
    outcome = home().received_confirm(greeted.state, gateway.post("confirm", greeted.message))
    assert isinstance(outcome.refusal, ForgedMessage)
    assert "QR" in outcome.refusal.message


async def test_messages_of_another_exchange_do_not_fit() -> None:
    """A replay of everything that a first, honest pairing sent, against the same gateway with a new code."""
    gateway = Gateway.fresh()
    begun = home().begin(parse_code(gateway.typed()))
    greeted = home().received_hello(begun.state, gateway.post("hello", begun.message))
    met = home().received_confirm(greeted.state, gateway.post("confirm", greeted.message))
    message = home().propose(met.state, NONCE, DEADLINE)
    claimed = home().signed(met.state, message, await OWNER.sign_message(message, PLACE.domain()))
    gateway.post("finish", claimed.message)
    gateway.state = gateway.machine.new_code(GatewayState(), NOW, LIFETIME)
    gateway.post("hello", begun.message)
    with pytest.raises(WrongCode):
        gateway.post("confirm", greeted.message)
    with pytest.raises(UnknownAttempt):
        gateway.post("finish", claimed.message)


async def test_a_claim_of_another_exchange_does_not_open() -> None:
    claimed = await claim(Gateway.fresh())
    gateway = Gateway.fresh()
    met = meet(gateway)
    moved = wire.frame(5, met.state.attempt, sealed=wire.read_frame(claimed.message, 5, 0, sealed=True).sealed)
    with pytest.raises(ForgedMessage):
        gateway.post("finish", moved)
    assert gateway.state.status is GatewayStatus.MEETING, "the honest home may still come"


def test_another_address_cannot_use_an_exchange() -> None:
    gateway = Gateway.fresh()
    greeted = greet(gateway)
    with pytest.raises(UnknownAttempt):
        gateway.post("confirm", greeted.message, "10.0.0.9")
    with pytest.raises(UnknownAttempt):
        gateway.post("hello", greeted.state.hello, "10.0.0.9")
    assert gateway.machine.tries_left(gateway.state) == MAX_TRIES
    home().received_confirm(greeted.state, gateway.post("confirm", greeted.message)).raised()


@pytest.mark.parametrize("place", [Place(1, PLACE.registry), Place(31337, b"\x0d" * 20)])
def test_another_chain_or_registry_is_said_and_costs_no_try(place: Place) -> None:
    gateway = Gateway.fresh()
    begun = home(place).begin(parse_code(gateway.typed()))
    refusal = gateway.answer("hello", begun.message).refusal
    assert isinstance(refusal, AnotherPlace)
    assert "31337" in refusal.message
    assert gateway.machine.tries_left(gateway.state) == MAX_TRIES


@pytest.mark.parametrize("place", [Place(1, PLACE.registry), Place(31337, b"\x0d" * 20)])
def test_a_changed_place_on_the_way_does_not_confirm(place: Place) -> None:
    """Somebody who makes both sides believe in different chains: the place is in every key."""
    gateway = Gateway.fresh()
    machine = home(place)
    begun = machine.begin(parse_code(gateway.typed()))
    bent = wire.pack_hello(replace(wire.read_hello(begun.message), place=PLACE))
    greeted = machine.received_hello(begun.state, gateway.post("hello", bent)).raised()
    with pytest.raises(WrongCode):
        gateway.post("confirm", greeted.message)


def test_a_changed_method_on_the_way_does_not_confirm() -> None:
    gateway = Gateway.fresh()
    begun = home().begin(parse_code(gateway.qr()))
    bent = bytearray(begun.message)
    bent[19] = 1
    greeted = home().received_hello(begun.state, gateway.post("hello", bytes(bent))).raised()
    with pytest.raises(WrongCode):
        gateway.post("confirm", greeted.message)
