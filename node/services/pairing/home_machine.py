"""The home's side of pairing: one machine per code that a person gave. Bytes in, bytes out.

Every method takes a state and returns an `Outcome` with the next one; a refusal is in the outcome and not raised, so
that a caller cannot forget to store the state that goes with it. Store first, then send. A failed attempt is over:
going on with it would let whoever plays the gateway try a second code against the same exchange.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace

from keys.errors import KeysError
from keys.ids import device_hash
from keys.messages import PairDevice, verify
from node.services.pairing import wire
from node.services.pairing.code import QrCode, TypedCode
from node.services.pairing.errors import ForgedMessage, IllegalMove, MalformedMessage, PairingRefused
from node.services.pairing.exchange import Draw, SharedKey, agree_as_home, begin_as_home, later, transcript_of
from node.services.pairing.models import Pairing, PeerIdentity, Place, fingerprint
from node.services.pairing.table import HOME_TABLE, HomeMove, HomeStatus, move

__all__ = ["HomeMachine", "HomeOutcome", "HomeState"]

MAX_SIGNATURE = 2048  # a contract account's signature is as long as it likes; more than this is no signature


@dataclass(frozen=True, slots=True)
class HomeState:
    """One attempt. Holds secrets until it is over: store it sealed. `bound` is the transcript so far."""

    status: HomeStatus
    attempt: bytes
    hello: bytes
    expected: bytes = b""  # fingerprint from a QR code; empty after a typed code
    exchange: bytes = field(default=b"", repr=False)
    root: bytes = field(default=b"", repr=False)
    transcript: bytes = b""
    bound: bytes = b""
    last: bytes = b""  # what was sent last, to be sent again if the answer was lost
    gateway: PeerIdentity | None = None
    salt: bytes = field(default=b"", repr=False)
    pairing: Pairing | None = None


@dataclass(frozen=True, slots=True)
class HomeOutcome:
    """The next state, what to send (to which step), or why it ended."""

    state: HomeState
    step: str = ""
    message: bytes = b""
    refusal: PairingRefused | None = None

    def raised(self) -> HomeOutcome:
        """This outcome, or its refusal raised; call it when the state is stored."""
        if self.refusal is not None:
            raise self.refusal
        return self


def _gateway(state: HomeState) -> PeerIdentity:
    if state.gateway is None:
        raise IllegalMove("the gateway is not known yet")
    return state.gateway


class HomeMachine:
    """Everything about this home that does not change: where it stands and who its owner is."""

    __slots__ = ("_draw", "_identity", "_place")

    def __init__(self, place: Place, identity: PeerIdentity, draw: Draw = os.urandom) -> None:
        self._place = place
        self._identity = identity
        self._draw = draw

    def begin(self, code: TypedCode | QrCode) -> HomeOutcome:
        """A new attempt with a code; the first message goes to step `hello`."""
        attempt = self._draw(wire.ATTEMPT_SIZE)
        element, exchange = begin_as_home(code.password(), self._place, self._draw)
        hello = wire.pack_hello(wire.Hello(attempt, code.method, self._place, element))
        expected = code.fingerprint if isinstance(code, QrCode) else b""
        state = HomeState(HomeStatus.GREETED, attempt, hello, expected, exchange, last=hello)
        return HomeOutcome(state, "hello", hello)

    def received_hello(self, state: HomeState, data: bytes) -> HomeOutcome:
        """The gateway's element: from here on both have the key, if both have the code."""
        status = move(HOME_TABLE, state.status, HomeMove.HELLO_RECEIVED)
        try:
            answer = wire.read_frame(data, 2, wire.ELEMENT_SIZE, sealed=False)
            self._same_attempt(state, answer.attempt)
            root = agree_as_home(state.exchange, answer.fixed)
        except PairingRefused as refusal:
            return self._failed(state, refusal)
        transcript = transcript_of(state.hello, data)
        proof = wire.frame(3, state.attempt, SharedKey(root, transcript).confirmation(b"home"))
        after = replace(state, status=status, exchange=b"", root=root, transcript=transcript, last=proof)
        return HomeOutcome(after, "confirm", proof)

    def received_confirm(self, state: HomeState, data: bytes) -> HomeOutcome:
        """The gateway's proof and identity. Nothing is sent: `propose` and a signature come first."""
        status = move(HOME_TABLE, state.status, HomeMove.CONFIRM_RECEIVED)
        key = SharedKey(state.root, state.transcript)
        try:
            answer = wire.read_frame(data, 4, 32, sealed=True)
            self._same_attempt(state, answer.attempt)
            key.check_confirmation(b"gateway", answer.fixed)
            bound = later(state.transcript, state.last)
            content = wire.read_document(key.open(b"gateway", bound, answer.sealed), {"identity", "salt"})
            gateway = wire.identity_from(content["identity"])
            salt = wire.raw(content, "salt", 32, 32)
            if state.expected and fingerprint(gateway) != state.expected:
                raise ForgedMessage("the device is not the one whose QR code was scanned")
            if gateway.account == self._identity.account:
                raise MalformedMessage("owner and device are the same account", field="account")
        except PairingRefused as refusal:
            return self._failed(state, refusal)
        return HomeOutcome(replace(state, status=status, bound=later(bound, data), gateway=gateway, salt=salt))

    def propose(self, state: HomeState, nonce: int, deadline: int) -> PairDevice:
        """The message that owner and device sign. `nonce` is the caller's to choose and must not be used yet."""
        move(HOME_TABLE, state.status, HomeMove.SIGNED)
        owner, device = self._identity.account, _gateway(state).account
        return PairDevice(owner, device_hash(state.salt, owner, device), nonce, deadline)

    def signed(self, state: HomeState, message: PairDevice, signature: bytes) -> HomeOutcome:
        """The owner's signature over a proposed message; the claim goes to step `finish`."""
        status = move(HOME_TABLE, state.status, HomeMove.SIGNED)
        if not 0 < len(signature) <= MAX_SIGNATURE:
            raise MalformedMessage(f"a signature has 1 to {MAX_SIGNATURE} bytes", field="signature")
        pairing = Pairing(self._identity, _gateway(state), message, state.salt, signature)
        content = {
            "identity": wire.identity_document(self._identity),
            "nonce": wire.to_json(message.nonce.to_bytes(32, "big")),
            "deadline": message.deadline,
            "signature": wire.to_json(signature),
        }
        plain = wire.pack_document(content)
        sealed = SharedKey(state.root, state.transcript).seal(b"home", state.bound, plain, self._draw)
        claim = wire.frame(5, state.attempt, sealed=sealed)
        after = replace(state, status=status, bound=later(state.bound, claim), last=claim, pairing=pairing)
        return HomeOutcome(after, "finish", claim)

    def received_finish(self, state: HomeState, data: bytes) -> HomeOutcome:
        """The device's signature: `state.pairing` is complete and can go to the chain."""
        status = move(HOME_TABLE, state.status, HomeMove.FINISH_RECEIVED)
        pairing = state.pairing
        try:
            if pairing is None:
                raise MalformedMessage("there is no claim to finish")
            answer = wire.read_frame(data, 6, 0, sealed=True)
            self._same_attempt(state, answer.attempt)
            plain = SharedKey(state.root, state.transcript).open(b"device", state.bound, answer.sealed)
            signature = wire.raw(wire.read_document(plain, {"signature"}), "signature", 65, 65)
            try:
                verify(pairing.message, self._place.domain(), signature, pairing.device.account)
            except KeysError as error:
                raise ForgedMessage(f"the device's signature is wrong: {error}") from error
        except PairingRefused as refusal:
            return self._failed(state, refusal)
        complete = replace(pairing, device_signature=signature)
        after = HomeState(status, state.attempt, state.hello, pairing=complete, gateway=state.gateway)
        return HomeOutcome(after)

    def again(self, state: HomeState) -> HomeOutcome:
        """What was sent last, for when the answer was lost or the program restarted; the gateway answers the same."""
        steps = {HomeStatus.GREETED: "hello", HomeStatus.CONFIRMED: "confirm", HomeStatus.CLAIMED: "finish"}
        step = steps.get(state.status, "")
        return HomeOutcome(state, step, state.last if step else b"")

    def gave_up(self, state: HomeState, refusal: PairingRefused) -> HomeOutcome:
        """The gateway refused, or the person stopped: the attempt is over."""
        return self._failed(state, refusal)

    @staticmethod
    def _same_attempt(state: HomeState, attempt: bytes) -> None:
        if attempt != state.attempt:
            raise ForgedMessage("an answer to another attempt")

    @staticmethod
    def _failed(state: HomeState, refusal: PairingRefused) -> HomeOutcome:
        status = move(HOME_TABLE, state.status, HomeMove.FAILED)
        return HomeOutcome(HomeState(status, state.attempt, state.hello), refusal=refusal)
