"""The meeting point of two that only call out: what leads there, and what a broker can do (permissions.md 2)."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.services.pairing import wire
from node.services.pairing.code import parse_code, typed_code
from node.services.pairing.errors import BadCode, MalformedMessage, PairingRefused, WrongCode
from node.services.pairing.gateway_machine import MAX_TRIES, OVER_BROKER
from node.services.pairing.rendezvous import ASK_SIZE, Answer, Question, Rendezvous
from tests.unit.services.pairing.builders import Gateway, home

SECRET = bytes(range(32))
POINT = Rendezvous.of(SECRET)
ASK = bytes(range(ASK_SIZE))


def test_topics_and_key_follow_from_the_secret_and_show_nothing_of_it() -> None:
    other = Rendezvous.of(SECRET[::-1])
    parts = {POINT.to_gateway, POINT.to_home, POINT.key, other.to_gateway, other.to_home, other.key}
    assert len(parts) == 6
    assert all(len(part) == 32 for part in parts)
    assert SECRET not in parts
    assert POINT.key.hex() not in repr(POINT)


def test_a_typed_code_leads_to_no_meeting_point() -> None:
    """Attack: whoever sees a topic that follows from 34.7 bits finds them by trying; so none is derived from them."""
    typed = typed_code(SECRET)
    for short in (typed.symbols.encode(), typed.password(), SECRET[:16], b""):
        with pytest.raises(BadCode):
            Rendezvous.of(short)


@given(
    st.sampled_from(wire.STEPS), st.binary(max_size=wire.MAX_MESSAGE), st.binary(min_size=ASK_SIZE, max_size=ASK_SIZE)
)
def test_questions_and_answers_arrive(step: str, body: bytes, ask: bytes) -> None:
    question = Question(ask, step, body)
    assert POINT.asked(POINT.ask(question, os.urandom)) == question
    for refused in (False, True):
        answer = Answer(ask, refused, body)
        assert POINT.answered(POINT.answer(answer, os.urandom)) == answer


def test_a_letter_is_hidden_and_never_twice_the_same() -> None:
    question = Question(ASK, "hello", b"the home's first message")
    first, second = POINT.ask(question, os.urandom), POINT.ask(question, os.urandom)
    assert first != second
    assert question.body not in first


def test_changed_sent_back_and_foreign_letters_open_nowhere() -> None:
    """Attack: the broker changes every byte, turns letters round, mixes meetings, sends too little and too much."""
    asked = POINT.ask(Question(ASK, "confirm", b"proof"), os.urandom)
    answered = POINT.answer(Answer(ASK, False, b"proof"), os.urandom)
    bad = [asked[:i] + bytes([asked[i] ^ 1]) + asked[i + 1 :] for i in range(len(asked))]
    foreign = Rendezvous.of(bytes(32)).ask(Question(ASK, "hello", b""), os.urandom)
    bad += [answered, b"", asked[:20], asked + b"\x00", bytes(20_000), foreign]
    for letter in bad:
        with pytest.raises(MalformedMessage):
            POINT.asked(letter)
    for letter in (asked, answered[:-1], bytes(100)):
        with pytest.raises(MalformedMessage):
            POINT.answered(letter)


def test_a_letter_of_the_right_key_and_a_wrong_shape_is_refused() -> None:
    """By a home of another version, which knows the code."""
    for plain in (b"\x01", b"\x02" + ASK + b"\x00", b"\x01" + ASK + b"\x07" + b"body"):
        with pytest.raises(MalformedMessage):
            POINT.asked(POINT._seal(b" to the gateway", plain, os.urandom))


def test_it_is_kept_and_read_again() -> None:
    assert Rendezvous.from_dict(POINT.to_dict()) == POINT
    with pytest.raises(PairingRefused):
        Rendezvous.from_dict({**POINT.to_dict(), "key": "AAAA"})


def test_wrong_proofs_over_the_broker_use_up_no_try() -> None:
    """Attack: who has the secret and disturbs, or replays, must not lock the household out of its own code."""
    gateway = Gateway.fresh()
    qr = parse_code(gateway.qr())
    for number in range(4 * MAX_TRIES):
        peer = f"{OVER_BROKER}{number:032x}"
        begun = home().begin(qr)
        greeted = home().received_hello(begun.state, gateway.post("hello", begun.message, peer))
        proof = greeted.message[:-1] + bytes([greeted.message[-1] ^ 1])
        with pytest.raises(WrongCode):
            gateway.post("confirm", proof, peer)
        with pytest.raises(PairingRefused):
            gateway.post("confirm", greeted.message, peer)  # one guess for an exchange, here too
    assert gateway.machine.tries_left(gateway.state) == MAX_TRIES
    assert not gateway.state.sessions
    begun = home().begin(parse_code(gateway.typed()))
    greeted = home().received_hello(begun.state, gateway.post("hello", begun.message))
    assert home().received_confirm(greeted.state, gateway.post("confirm", greeted.message)).refusal is None


def test_a_typed_code_is_not_taken_over_the_broker() -> None:
    gateway = Gateway.fresh()
    begun = home().begin(parse_code(gateway.typed()))
    with pytest.raises(MalformedMessage, match="own network"):
        gateway.post("hello", begun.message, OVER_BROKER + "00")
    assert not replace(gateway.state).sessions
