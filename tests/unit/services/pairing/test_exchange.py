"""permissions.md 2: the whole exchange, wrong codes, time, an owner already there, restarts and lost answers."""

from __future__ import annotations

import json

import pytest

from keys.ids import device_hash
from keys.messages import digest, verify
from node.errors import NodeError
from node.services.pairing import wire
from node.services.pairing.code import parse_code
from node.services.pairing.errors import (
    AlreadyPaired,
    CodeLocked,
    NoCode,
    PairingRefused,
    PairingWaits,
    UnknownAttempt,
    WrongCode,
)
from node.services.pairing.gateway_machine import (
    LAPSE_MARGIN,
    MAX_SESSIONS,
    MAX_TRIES,
    MAX_TRIES_IN_ALL,
)
from node.services.pairing.gateway_state import GatewayState
from node.services.pairing.home_machine import HomeOutcome, HomeState
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
    Gateway,
    greet,
    home,
    meet,
    other_code,
    pair,
)


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


async def test_a_claim_that_waits_for_the_chain_is_no_owner_and_a_lapsed_one_is_in_nobodys_way() -> None:
    """The home's last answer was lost and nothing came on the chain: a person is told until when."""
    gateway = Gateway.fresh()
    await pair(gateway)
    lapses = DEADLINE + LAPSE_MARGIN
    with pytest.raises(PairingWaits, match="waits for the chain until") as waits:
        gateway.machine.new_code(gateway.state, lapses - 1, LIFETIME)
    assert waits.value.until == lapses
    assert gateway.machine.new_code(gateway.state, lapses, LIFETIME).status is GatewayStatus.OPEN


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
