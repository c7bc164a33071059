"""permissions.md 2: the whole exchange, restarts, lost answers, and everybody who tries to get in between."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keys.ids import device_hash
from keys.messages import digest, verify
from keys.sealing import SealingKey
from node.errors import NodeError
from node.services.pairing import wire
from node.services.pairing.code import parse_code
from node.services.pairing.errors import (
    AlreadyPaired,
    AnotherPlace,
    CodeLocked,
    ForgedMessage,
    IllegalMove,
    MalformedMessage,
    NoCode,
    PairingRefused,
    StateDamaged,
    UnknownAttempt,
    WrongCode,
)
from node.services.pairing.exchange import SharedKey, later
from node.services.pairing.gateway_machine import (
    LAPSE_MARGIN,
    MAX_DEADLINE,
    MAX_SESSIONS,
    MAX_TRIES,
    MAX_TRIES_IN_ALL,
    GatewayMachine,
)
from node.services.pairing.gateway_state import GatewayState
from node.services.pairing.home_machine import HomeOutcome, HomeState
from node.services.pairing.models import Pairing, PeerIdentity, Place, fingerprint
from node.services.pairing.saved import gateway_from_dict, gateway_to_dict, home_from_dict, home_to_dict
from node.services.pairing.table import GatewayStatus, HomeStatus
from tests.unit.services.pairing.builders import (
    DEADLINE,
    DEVICE,
    GATEWAY_ID,
    HOME_ADDRESS,
    HOME_ID,
    LIFETIME,
    NONCE,
    NOW,
    OWNER,
    PLACE,
    URL,
    Gateway,
    claim,
    greet,
    home,
    meet,
    other_code,
    pair,
)

EVIL = SealingKey(b"\x66" * 32)


@pytest.mark.parametrize("by_qr", [False, True])
async def test_both_sides_hold_the_same_pairing(by_qr: bool) -> None:
    gateway = Gateway.fresh()
    done = await pair(gateway, gateway.qr() if by_qr else gateway.typed())
    ours, theirs = done.state.pairing, gateway.state.claim
    assert ours is not None
    assert theirs is not None
    assert ours == theirs.pairing
    assert (ours.owner, ours.device) == (HOME_ID, GATEWAY_ID)
    assert ours.message.device_hash == device_hash(ours.salt, OWNER.address, DEVICE.address)
    assert (ours.message.owner, ours.message.nonce, ours.message.deadline) == (OWNER.address, NONCE, DEADLINE)
    verify(ours.message, PLACE.domain(), ours.owner_signature, OWNER.address)
    verify(ours.message, PLACE.domain(), ours.device_signature, DEVICE.address)
    assert done.state.status is HomeStatus.PAIRED
    assert gateway.state.status is GatewayStatus.CLAIMED


async def test_salts_and_answers_are_fresh_every_time() -> None:
    found = []
    for _ in range(2):
        done = await pair(Gateway.fresh())
        assert done.state.pairing is not None
        found.append(done.state.pairing)
    assert found[0].salt != found[1].salt
    assert digest(found[0].message, PLACE.domain()) != digest(found[1].message, PLACE.domain())


async def test_the_code_is_gone_after_one_use() -> None:
    gateway = Gateway.fresh()
    secret = gateway.state.secret
    await pair(gateway)
    assert gateway.state.secret == b""
    saved = json.dumps(gateway_to_dict(gateway.state))
    assert wire.to_json(secret) not in saved


# --- wrong codes ------------------------------------------------------------------------------------------------------


def wrong_try(gateway: Gateway, peer: str = HOME_ADDRESS) -> PairingRefused:
    greeted = greet(gateway, other_code(gateway), peer)
    refusal = gateway.answer("confirm", greeted.message, peer).refusal
    assert refusal is not None
    return refusal


def test_a_wrong_code_reveals_nothing_and_counts() -> None:
    gateway = Gateway.fresh()
    greeted = greet(gateway, other_code(gateway))
    outcome = gateway.answer("confirm", greeted.message)
    assert isinstance(outcome.refusal, WrongCode)
    assert outcome.refusal.tries_left == MAX_TRIES - 1
    assert (outcome.answer, outcome.to_sign) == (b"", None)
    assert gateway.machine.tries_left(gateway.state) == MAX_TRIES - 1


def test_five_wrong_codes_of_one_peer_lock_until_a_new_code() -> None:
    gateway = Gateway.fresh()
    right = gateway.typed()
    refusals = [wrong_try(gateway) for _ in range(MAX_TRIES)]
    assert [type(r) for r in refusals] == [WrongCode] * (MAX_TRIES - 1) + [CodeLocked]
    assert gateway.state.status is GatewayStatus.LOCKED
    for peer in (HOME_ADDRESS, "10.0.0.1"):
        with pytest.raises(CodeLocked):
            gateway.post("hello", home().begin(parse_code(right)).message, peer)
    with pytest.raises(CodeLocked):
        gateway.typed()
    gateway.state = gateway.machine.new_code(gateway.state, NOW, LIFETIME)
    assert gateway.typed() != right
    meet(gateway)


def test_tries_of_many_addresses_add_up() -> None:
    """One attacker has as many IPv6 addresses as he likes; counting by address alone would give him five tries each."""
    gateway = Gateway.fresh()
    refusals = [wrong_try(gateway, f"fe80::{number:x}") for number in range(MAX_TRIES_IN_ALL)]
    assert isinstance(refusals[-1], CodeLocked)
    assert all(isinstance(refusal, WrongCode) for refusal in refusals[:-1])
    assert gateway.state.status is GatewayStatus.LOCKED


def test_wrong_tries_survive_restarts() -> None:
    """The builder restarts before every call; here the count itself is looked at."""
    gateway = Gateway.fresh()
    wrong_try(gateway)
    assert dict(gateway_from_dict(gateway_to_dict(gateway.state)).failures) == {HOME_ADDRESS: 1}


def test_one_exchange_gives_one_guess() -> None:
    """SPAKE2's promise holds only if a second proof for the same exchange is not even looked at."""
    gateway = Gateway.fresh()
    right = gateway.typed()
    machine = home()
    begun = machine.begin(parse_code(right))
    good = machine.received_hello(begun.state, gateway.post("hello", begun.message))
    bad = good.message[:-32] + bytes(32)
    with pytest.raises(WrongCode):
        gateway.post("confirm", bad)
    with pytest.raises(UnknownAttempt):
        gateway.post("confirm", good.message)


def test_begun_exchanges_cost_no_try_and_do_not_pile_up() -> None:
    gateway = Gateway.fresh()
    for number in range(3 * MAX_SESSIONS):
        greet(gateway, peer=f"10.0.0.{number}")
    assert len(gateway.state.sessions) == MAX_SESSIONS
    assert gateway.machine.tries_left(gateway.state) == MAX_TRIES
    for _ in range(3):
        greet(gateway, peer="10.0.0.99")
    assert [session.peer for session in gateway.state.sessions].count("10.0.0.99") == 1
    meet(gateway)


def test_a_typing_error_never_reaches_the_gateway() -> None:
    gateway = Gateway.fresh()
    text = gateway.typed()
    swapped = text[1] + text[0] + text[2:] if text[0] != text[1] else text[:-1] + ("2" if text[-1] != "2" else "3")
    with pytest.raises(NodeError):
        parse_code(swapped)
    assert gateway.machine.tries_left(gateway.state) == MAX_TRIES


# --- time -------------------------------------------------------------------------------------------------------------


def test_codes_expire() -> None:
    gateway = Gateway.fresh()
    begun = home().begin(parse_code(gateway.typed()))
    gateway.now = NOW + LIFETIME
    with pytest.raises(NoCode):
        gateway.post("hello", begun.message)
    assert gateway.state == GatewayState()
    with pytest.raises(NoCode):
        gateway.typed()


def test_a_meeting_expires_with_its_code() -> None:
    gateway = Gateway.fresh()
    meet(gateway)
    gateway.now = NOW + LIFETIME
    gateway.answer("finish", b"")
    assert gateway.state == GatewayState()


async def test_a_claim_lapses_only_when_it_can_no_longer_land() -> None:
    gateway = Gateway.fresh()
    await pair(gateway)
    before = gateway.machine.tick(gateway.state, DEADLINE + LAPSE_MARGIN - 1)
    assert before == gateway.state
    assert gateway.machine.tick(gateway.state, DEADLINE + LAPSE_MARGIN) == GatewayState()


async def test_a_clock_in_2099_does_not_free_a_paired_gateway() -> None:
    """A lapsed claim that landed after all is found on the chain and ends every other claim."""
    gateway = Gateway.fresh()
    done = await pair(gateway)
    assert done.state.pairing is not None
    hashed = done.state.pairing.message.device_hash
    gateway.state = gateway.machine.tick(gateway.state, 4_070_908_800)
    gateway.state = gateway.machine.new_code(gateway.state, NOW, LIFETIME)
    begun = home().begin(parse_code(gateway.typed()))
    gateway.state = gateway.machine.chain_paired(gateway.state, hashed)
    with pytest.raises(AlreadyPaired):
        gateway.post("hello", begun.message)


# --- once there is an owner -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("on_chain", [False, True])
async def test_a_paired_gateway_refuses_other_claims(on_chain: bool) -> None:
    gateway = Gateway.fresh()
    text = gateway.typed()
    done = await pair(gateway)
    assert done.state.pairing is not None
    if on_chain:
        gateway.state = gateway.machine.chain_paired(gateway.state, done.state.pairing.message.device_hash)
        assert gateway.state.status is GatewayStatus.PAIRED
    second = home().begin(parse_code(text))
    for step, data in (("hello", second.message), ("confirm", wire.frame(3, bytes(16), bytes(32)))):
        with pytest.raises(AlreadyPaired):
            gateway.post(step, data, "10.0.0.9")
    with pytest.raises(AlreadyPaired):
        gateway.post("finish", wire.frame(5, bytes(16), sealed=b"x"), "10.0.0.9")
    with pytest.raises(AlreadyPaired):
        gateway.machine.new_code(gateway.state, NOW, LIFETIME)
    with pytest.raises(AlreadyPaired):
        gateway.typed()


async def test_unpairing_frees_it_and_only_its_own() -> None:
    gateway = Gateway.fresh()
    done = await pair(gateway)
    assert done.state.pairing is not None
    hashed = done.state.pairing.message.device_hash
    paired = gateway.machine.chain_paired(gateway.state, hashed)
    assert gateway.machine.chain_paired(paired, hashed) == paired
    assert gateway.machine.chain_unpaired(paired, b"\x01" * 32) == paired
    assert gateway.machine.chain_unpaired(paired, hashed) == GatewayState()
    assert gateway.machine.chain_unpaired(gateway.state, hashed) == GatewayState(), "before it was final"
    assert gateway.machine.reset(paired) == GatewayState()


def test_two_pairings_on_chain_need_two_unpairings() -> None:
    machine = Gateway.fresh().machine
    state = machine.chain_paired(machine.chain_paired(GatewayState(), b"\x01" * 32), b"\x02" * 32)
    state = gateway_from_dict(gateway_to_dict(state))
    state = machine.chain_unpaired(state, b"\x01" * 32)
    assert state.status is GatewayStatus.PAIRED
    assert machine.chain_unpaired(state, b"\x02" * 32) == GatewayState()


async def test_a_second_home_during_a_meeting() -> None:
    """Whoever knew the code has used it; a second home, even one that saw the code, needs a new one."""
    gateway = Gateway.fresh()
    text = gateway.typed()
    other = greet(gateway, peer="10.0.0.9")
    met = meet(gateway, text)
    with pytest.raises(NoCode):
        gateway.post("confirm", other.message, "10.0.0.9")
    with pytest.raises(NoCode):
        gateway.post("hello", home().begin(parse_code(text)).message, "10.0.0.9")
    with pytest.raises(UnknownAttempt):
        gateway.post("finish", wire.frame(5, bytes(16), sealed=b"x"), "10.0.0.9")
    message = home().propose(met.state, NONCE, DEADLINE)
    claimed = home().signed(met.state, message, await OWNER.sign_message(message, PLACE.domain()))
    assert gateway.answer("finish", claimed.message).to_sign == message


# --- restarts and lost answers ----------------------------------------------------------------------------------------


def restarted(state: HomeState) -> HomeState:
    return home_from_dict(json.loads(json.dumps(home_to_dict(state))))


async def test_both_sides_restart_before_every_step() -> None:
    gateway, machine = Gateway.fresh(), home()
    outcome: HomeOutcome = machine.begin(parse_code(gateway.qr()))
    for step, receive in (("hello", machine.received_hello), ("confirm", machine.received_confirm)):
        outcome = receive(restarted(outcome.state), gateway.post(step, outcome.message)).raised()
    state = restarted(outcome.state)
    message = machine.propose(state, NONCE, DEADLINE)
    outcome = machine.signed(state, message, await OWNER.sign_message(message, PLACE.domain()))
    waiting = gateway.answer("finish", outcome.message).raised()
    done = machine.received_finish(restarted(outcome.state), await gateway.sign(waiting.to_sign)).raised()
    assert restarted(done.state) == done.state
    assert gateway.restarted() == gateway.state
    assert gateway.state.claim is not None
    assert done.state.pairing == gateway.state.claim.pairing


async def test_lost_answers_are_given_again() -> None:
    gateway, machine = Gateway.fresh(), home()
    begun = machine.begin(parse_code(gateway.typed()))
    assert machine.again(restarted(begun.state)) == begun
    first = gateway.post("hello", begun.message)
    assert gateway.post("hello", begun.message) == first
    greeted = machine.received_hello(begun.state, first)
    assert machine.again(restarted(greeted.state)).message == greeted.message
    answer = gateway.post("confirm", greeted.message)
    assert gateway.post("confirm", greeted.message) == answer
    met = machine.received_confirm(greeted.state, answer)
    assert machine.again(met.state).message == b""
    message = machine.propose(met.state, NONCE, DEADLINE)
    claimed = machine.signed(met.state, message, await OWNER.sign_message(message, PLACE.domain()))
    waiting = gateway.answer("finish", claimed.message)
    assert gateway.answer("finish", claimed.message).to_sign == waiting.to_sign == message, "before it was signed"
    signed = await gateway.sign(waiting.to_sign)
    assert gateway.post("finish", claimed.message) == signed
    assert await gateway.sign(waiting.to_sign) == signed
    assert machine.again(restarted(claimed.state)) == HomeOutcome(claimed.state, "finish", claimed.message)
    machine.received_finish(claimed.state, signed).raised()


# --- somebody in between ----------------------------------------------------------------------------------------------


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


def evil_identity(account: bytes) -> PeerIdentity:
    return PeerIdentity(account, EVIL.public_bytes, "http://evil.example", "Gateway")


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
    gateway.state = gateway.machine.new_code(gateway.machine.reset(gateway.state), NOW, LIFETIME)
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


# --- signatures and contents ------------------------------------------------------------------------------------------


async def sealed_claim(gateway: Gateway, **change: Any) -> bytes:
    """A claim as a home that knows the code could write it, with any content."""
    met = meet(gateway)
    message = home().propose(met.state, NONCE, DEADLINE)
    content = {
        "identity": wire.identity_document(HOME_ID),
        "nonce": wire.to_json(NONCE.to_bytes(32, "big")),
        "deadline": DEADLINE,
        "signature": wire.to_json(await OWNER.sign_message(message, PLACE.domain())),
        **change,
    }
    key = SharedKey(met.state.root, met.state.transcript)
    sealed = key.seal(b"home", met.state.bound, wire.pack_document(content), lambda n: bytes(n))
    return wire.frame(5, met.state.attempt, sealed=sealed)


async def test_the_handmade_claim_is_as_good_as_the_real_one() -> None:
    gateway = Gateway.fresh()
    assert gateway.answer("finish", await sealed_claim(gateway)).to_sign is not None


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"deadline": NOW}, MalformedMessage),
        ({"deadline": NOW + MAX_DEADLINE + 1}, MalformedMessage),
        ({"deadline": -1}, MalformedMessage),
        ({"deadline": str(DEADLINE)}, MalformedMessage),
        ({"deadline": DEADLINE + 1}, ForgedMessage),
        ({"nonce": wire.to_json(bytes(32))}, ForgedMessage),
        ({"nonce": wire.to_json(bytes(31))}, MalformedMessage),
        ({"signature": wire.to_json(bytes(65))}, ForgedMessage),
        ({"signature": ""}, MalformedMessage),
        ({"signature": "?"}, MalformedMessage),
        ({"signature": wire.to_json(bytes(2049))}, MalformedMessage),
        ({"identity": None}, MalformedMessage),
        ({"identity": {}}, MalformedMessage),
        ({"identity": {**wire.identity_document(HOME_ID), "account": wire.to_json(DEVICE.address)}}, MalformedMessage),
        ({"identity": {**wire.identity_document(HOME_ID), "account": wire.to_json(b"\x07" * 20)}}, ForgedMessage),
        ({"identity": {**wire.identity_document(HOME_ID), "account": wire.to_json(bytes(20))}}, MalformedMessage),
        ({"identity": {**wire.identity_document(HOME_ID), "sealing_key": wire.to_json(bytes(1216))}}, MalformedMessage),
        ({"identity": {**wire.identity_document(HOME_ID), "inbox_url": "file:///x"}}, MalformedMessage),
        ({"identity": {**wire.identity_document(HOME_ID), "inbox_url": 5}}, MalformedMessage),
        ({"identity": {**wire.identity_document(HOME_ID), "label": "a\nb"}}, MalformedMessage),
        ({"identity": {**wire.identity_document(HOME_ID), "label": "x" * 81}}, MalformedMessage),
        ({"extra": 1}, MalformedMessage),
        ({"extra": [[[[[1]]]]]}, MalformedMessage),
    ],
)
async def test_claims_that_are_refused(change: dict[str, Any], error: type[PairingRefused]) -> None:
    gateway = Gateway.fresh()
    data = await sealed_claim(gateway, **change)
    outcome = gateway.answer("finish", data)
    assert isinstance(outcome.refusal, error)
    assert outcome.to_sign is None
    assert gateway.state.status is GatewayStatus.MEETING


async def test_a_contract_account_s_signature_is_left_to_the_chain() -> None:
    gateway = Gateway.fresh()
    data = await sealed_claim(gateway, signature=wire.to_json(b"\x01" * 200))
    assert gateway.answer("finish", data).to_sign is not None


async def test_the_device_signs_only_its_own_claim() -> None:
    gateway = Gateway.fresh()
    with pytest.raises(IllegalMove, match="nothing to sign"):
        gateway.machine.signed(gateway.state, bytes(65))
    claimed = await claim(gateway)
    waiting = gateway.answer("finish", claimed.message).raised()
    assert waiting.to_sign is not None
    for signature in (bytes(65), b"", await OWNER.sign_message(waiting.to_sign, PLACE.domain())):
        with pytest.raises(IllegalMove, match="not the device's signature"):
            gateway.machine.signed(gateway.state, signature)


async def test_the_home_does_not_take_another_signature() -> None:
    gateway = Gateway.fresh()
    claimed = await claim(gateway)
    gateway.answer("finish", claimed.message).raised()
    assert claimed.state.pairing is not None
    forged = await OWNER.sign_message(claimed.state.pairing.message, PLACE.domain())
    key = SharedKey(claimed.state.root, claimed.state.transcript)
    plain = wire.pack_document({"signature": wire.to_json(forged)})
    data = wire.frame(
        6, claimed.state.attempt, sealed=key.seal(b"device", claimed.state.bound, plain, lambda n: bytes(n))
    )
    outcome = home().received_finish(claimed.state, data)
    assert isinstance(outcome.refusal, ForgedMessage)


async def test_what_the_owner_signs_is_checked_before_it_leaves() -> None:
    met = meet(Gateway.fresh())
    message = home().propose(met.state, NONCE, DEADLINE)
    with pytest.raises(MalformedMessage, match="signature"):
        home().signed(met.state, message, b"")
    with pytest.raises(MalformedMessage, match="device"):
        home().signed(met.state, replace(message, device_hash=bytes(32)), bytes(65))
    with pytest.raises(MalformedMessage, match="owner"):
        home().signed(met.state, replace(message, owner=b"\x07" * 20), bytes(65))


def test_a_device_cannot_be_its_own_owner() -> None:
    gateway = Gateway.fresh(identity=replace(GATEWAY_ID, account=HOME_ID.account))
    greeted = greet(gateway)
    outcome = home().received_confirm(greeted.state, gateway.post("confirm", greeted.message))
    assert isinstance(outcome.refusal, MalformedMessage)


# --- the machine's edges ----------------------------------------------------------------------------------------------


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
