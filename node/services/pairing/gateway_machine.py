"""The gateway's side of pairing: one machine for the life of the device. Bytes in, bytes out.

Every call takes a state and returns an `Outcome` with the next one; a refusal is in the outcome and not raised, so
that a wrong try cannot be answered without being counted. Store first, then answer. A message that comes again, byte
for byte, is answered the same, byte for byte: answers get lost, and a repeated one tells nobody anything new.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace

from keys.errors import KeysError
from keys.ids import device_hash
from keys.messages import PairDevice, verify
from node.services.pairing import wire
from node.services.pairing.code import SECRET_SIZE, Method, QrCode, qr_text, typed_code, typed_text
from node.services.pairing.errors import (
    AlreadyPaired,
    AnotherPlace,
    CodeLocked,
    ForgedMessage,
    IllegalMove,
    MalformedMessage,
    NoCode,
    PairingRefused,
    PairingWaits,
    UnknownAttempt,
    WrongCode,
)
from node.services.pairing.exchange import Draw, SharedKey, agree_as_gateway, later, transcript_of
from node.services.pairing.gateway_state import Claim, GatewayState, Meeting, Session
from node.services.pairing.models import Pairing, PeerIdentity, Place, fingerprint
from node.services.pairing.table import GATEWAY_TABLE, GatewayMove, GatewayStatus, move

__all__ = [
    "LAPSE_MARGIN",
    "MAX_DEADLINE",
    "MAX_TRIES",
    "MAX_TRIES_IN_ALL",
    "OVER_BROKER",
    "GatewayMachine",
    "GatewayOutcome",
    "ShownCode",
]

MAX_TRIES = 5  # wrong codes of one peer
MAX_TRIES_IN_ALL = 10  # of all peers together: an attacker has as many IPv6 addresses as he likes
OVER_BROKER = "broker:"  # begins the peer of a message that came by a rendezvous: its home has the whole secret
MAX_SESSIONS = 8  # exchanges begun and not confirmed; the oldest makes room
MAX_DEADLINE = 86400  # seconds that a PairDevice may wait for the chain
LAPSE_MARGIN = 3600  # beyond its deadline: the chain's clock decides, and its events need time to arrive


@dataclass(frozen=True, slots=True)
class ShownCode:
    """What the gateway shows: the text to type, the text of the QR code, and until when (seconds UTC)."""

    typed: str
    qr: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class GatewayOutcome:
    """The next state, and one of: the answer, a message that the device must sign first, a refusal."""

    state: GatewayState
    answer: bytes = b""
    to_sign: PairDevice | None = None
    refusal: PairingRefused | None = None

    def raised(self) -> GatewayOutcome:
        """This outcome, or its refusal raised; call it when the state is stored."""
        if self.refusal is not None:
            raise self.refusal
        return self


class GatewayMachine:
    """Everything about this gateway that does not change: where it stands and who it is."""

    __slots__ = ("_draw", "_identity", "_place")

    def __init__(self, place: Place, identity: PeerIdentity, draw: Draw = os.urandom) -> None:
        self._place = place
        self._identity = identity
        self._draw = draw

    def new_code(self, state: GatewayState, now: int, lifetime: int) -> GatewayState:
        """A new code; the former one, its tries and whatever was under way are gone. AlreadyPaired with an owner, and
        PairingWaits while the chain may still take a home's claim.

        Only for a person at the device: a button, the first boot, or the device's own command line.
        """
        state = self.tick(state, now)
        if state.status is GatewayStatus.CLAIMED and state.claim is not None:
            raise PairingWaits(_lapses_at(state.claim))
        if state.status is GatewayStatus.PAIRED:
            raise AlreadyPaired("the gateway has an owner")
        status = move(GATEWAY_TABLE, state.status, GatewayMove.NEW_CODE)
        return GatewayState(status, secret=self._draw(SECRET_SIZE), expires_at=now + lifetime)

    def shown_code(self, state: GatewayState, now: int, url: str) -> ShownCode:
        """The code to show; NoCode, CodeLocked or AlreadyPaired if there is none.

        `url` is where homes reach the steps of the exchange; empty in outbound-only mode.
        """
        state = self.tick(state, now)
        if state.status is not GatewayStatus.OPEN:
            raise self._closed(state)
        qr = qr_text(state.secret, fingerprint(self._identity), url)
        return ShownCode(typed_text(state.secret), qr, state.expires_at)

    def answer(self, state: GatewayState, step: str, data: bytes, peer: str, now: int) -> GatewayOutcome:
        """One message of a home. `peer` is its network address, against which wrong tries count; or OVER_BROKER and the
        number of its attempt."""
        state = self.tick(state, now)
        handlers: dict[str, Callable[[GatewayState, bytes, str, int], GatewayOutcome]] = {
            "hello": self._hello,
            "confirm": self._confirm,
            "finish": self._finish,
        }
        handler = handlers.get(step)
        try:
            if handler is None:
                raise MalformedMessage(f"the steps are {', '.join(wire.STEPS)}", field="step")
            return handler(state, data, peer, now)
        except PairingRefused as refusal:
            return GatewayOutcome(state, refusal=refusal)

    def signed(self, state: GatewayState, signature: bytes) -> GatewayOutcome:
        """The device's own signature over `to_sign`: the answer to the home's claim."""
        claim = state.claim
        if state.status is not GatewayStatus.CLAIMED or claim is None:
            raise IllegalMove(f"there is nothing to sign while the pairing is {state.status.value}")
        if claim.answer:
            return GatewayOutcome(state, claim.answer)
        try:
            verify(claim.pairing.message, self._place.domain(), signature, self._identity.account)
        except KeysError as error:
            raise IllegalMove(f"that is not the device's signature: {error}") from error
        key = SharedKey(claim.root, claim.transcript)
        plain = wire.pack_document({"signature": wire.to_json(signature)})
        answer = wire.frame(6, claim.attempt, sealed=key.seal(b"device", claim.bound, plain, self._draw))
        pairing = replace(claim.pairing, device_signature=signature)
        return GatewayOutcome(replace(state, claim=replace(claim, answer=answer, pairing=pairing)), answer)

    def tick(self, state: GatewayState, now: int) -> GatewayState:
        """What time does: codes expire, and a claim that can no longer reach the chain lapses."""
        if state.status in (GatewayStatus.OPEN, GatewayStatus.MEETING) and now >= state.expires_at:
            return GatewayState(move(GATEWAY_TABLE, state.status, GatewayMove.EXPIRED))
        lapses_at = 0 if state.claim is None else _lapses_at(state.claim)
        if state.status is GatewayStatus.CLAIMED and now >= lapses_at:
            return GatewayState(move(GATEWAY_TABLE, state.status, GatewayMove.CLAIM_LAPSED))
        return state

    def chain_paired(self, state: GatewayState, hashed: bytes) -> GatewayState:
        """The chain has, finally, a PairDevice that names our account; nobody but us could have signed it.

        Also for a rebuild from the chain and for a claim that landed after its lapse.
        """
        if hashed in state.paired:
            return state
        status = move(GATEWAY_TABLE, state.status, GatewayMove.CHAIN_PAIRED)
        return GatewayState(status, paired=(*state.paired, hashed))

    def chain_unpaired(self, state: GatewayState, hashed: bytes) -> GatewayState:
        """The chain has an UnpairDevice for our pairing, signed by its owner or by us. Others change nothing."""
        if hashed in state.paired:
            left = tuple(other for other in state.paired if other != hashed)
            status = state.status if left else move(GATEWAY_TABLE, state.status, GatewayMove.CHAIN_UNPAIRED)
            return GatewayState(status, paired=left)
        if state.claim is not None and hashed == state.claim.pairing.message.device_hash:
            return GatewayState(move(GATEWAY_TABLE, state.status, GatewayMove.CLAIM_LAPSED))
        return state

    @staticmethod
    def tries_left(state: GatewayState) -> int | None:
        """Wrong codes that the worst peer may still send; None without a code."""
        if state.status is not GatewayStatus.OPEN:
            return None
        counts = [count for _, count in state.failures]
        return min(MAX_TRIES - max(counts, default=0), MAX_TRIES_IN_ALL - sum(counts))

    @staticmethod
    def _closed(state: GatewayState) -> PairingRefused:
        if state.status in (GatewayStatus.CLAIMED, GatewayStatus.PAIRED):
            return AlreadyPaired("the gateway has an owner")
        if state.status is GatewayStatus.LOCKED:
            return CodeLocked("too many wrong codes; only a new code helps")
        if state.status is GatewayStatus.MEETING:
            return NoCode("the code was used by a home that is pairing now")
        if state.status is GatewayStatus.OPEN:
            return UnknownAttempt("the code was not confirmed in this exchange")
        return NoCode("there is no valid code: none was made, or it has expired")

    def _hello(self, state: GatewayState, data: bytes, peer: str, now: int) -> GatewayOutcome:
        if state.status is not GatewayStatus.OPEN:
            raise self._closed(state)
        hello = wire.read_hello(data)
        known = next((s for s in state.sessions if s.attempt == hello.attempt), None)
        if known is not None:
            if known.peer == peer and known.hello == hashlib.sha256(data).digest():
                return GatewayOutcome(state, known.answer)
            raise UnknownAttempt("this attempt was begun otherwise")
        if hello.place != self._place:
            raise AnotherPlace(
                f"this gateway is on chain {self._place.chain_id}, registry 0x{self._place.registry.hex()}"
            )
        if hello.method is Method.TYPED and peer.startswith(OVER_BROKER):
            # Tries are not counted there, and a typed code is safe by nothing else.
            raise MalformedMessage("a typed code is for the gateway's own network; over a broker the QR code is used")
        code = typed_code(state.secret) if hello.method is Method.TYPED else QrCode("", b"", state.secret)
        element, root = agree_as_gateway(code.password(), self._place, hello.element, self._draw)
        answer = wire.frame(2, hello.attempt, element)
        session = Session(hello.attempt, peer, hashlib.sha256(data).digest(), answer, root, transcript_of(data, answer))
        # One exchange per peer: what it began before is over, and its proof for that no longer counts for anything.
        others = tuple(s for s in state.sessions if s.peer != peer)[-(MAX_SESSIONS - 1) :]
        return GatewayOutcome(replace(state, sessions=(*others, session)), answer)

    def _confirm(self, state: GatewayState, data: bytes, peer: str, now: int) -> GatewayOutcome:
        meeting = state.meeting
        attempt = wire.attempt_of(data, 3)
        if meeting is not None and meeting.attempt == attempt and meeting.proof == hashlib.sha256(data).digest():
            return GatewayOutcome(state, meeting.answer)
        if state.status is not GatewayStatus.OPEN:
            raise self._closed(state)
        frame = wire.read_frame(data, 3, 32, sealed=False)
        session = next((s for s in state.sessions if s.attempt == attempt and s.peer == peer), None)
        if session is None:
            raise UnknownAttempt("no exchange of this number is under way with this address")
        key = SharedKey(session.root, session.transcript)
        try:
            key.check_confirmation(b"home", frame.fixed)
        except ForgedMessage:
            return self._wrong_try(state, session)
        salt = self._draw(32)
        content = {"identity": wire.identity_document(self._identity), "salt": wire.to_json(salt)}
        bound = later(session.transcript, data)
        sealed = key.seal(b"gateway", bound, wire.pack_document(content), self._draw)
        answer = wire.frame(4, attempt, key.confirmation(b"gateway"), sealed)
        proof = hashlib.sha256(data).digest()
        met = Meeting(attempt, proof, answer, session.root, session.transcript, later(bound, answer), salt)
        status = move(GATEWAY_TABLE, state.status, GatewayMove.CODE_CONFIRMED)
        # The secret has served: it is forgotten with every other exchange that was begun on it.
        return GatewayOutcome(GatewayState(status, expires_at=state.expires_at, meeting=met), answer)

    def _wrong_try(self, state: GatewayState, session: Session) -> GatewayOutcome:
        sessions = tuple(s for s in state.sessions if s.attempt != session.attempt)
        if session.peer.startswith(OVER_BROKER):
            # 256 bits are not found by trying: it is no try, and must not use one up.
            left = self.tries_left(state) or 0
            return GatewayOutcome(
                replace(state, sessions=sessions),
                refusal=WrongCode("the proof is not of the code in the QR code", left),
            )
        failures = dict(state.failures)
        failures[session.peer] = failures.get(session.peer, 0) + 1
        used, in_all = failures[session.peer], sum(failures.values())
        left = min(MAX_TRIES - used, MAX_TRIES_IN_ALL - in_all)
        if left <= 0:
            status = move(GATEWAY_TABLE, state.status, GatewayMove.TOO_MANY_TRIES)
            return GatewayOutcome(
                GatewayState(status), refusal=CodeLocked("too many wrong codes; only a new code helps")
            )
        # SPAKE2 gives one guess per exchange, so the exchange is over with its guess.
        after = replace(state, failures=tuple(sorted(failures.items())), sessions=sessions)
        return GatewayOutcome(after, refusal=WrongCode(f"that is not the code; {left} tries are left", left))

    def _finish(self, state: GatewayState, data: bytes, peer: str, now: int) -> GatewayOutcome:
        attempt, seen = wire.attempt_of(data, 5), hashlib.sha256(data).digest()
        claim, meeting = state.claim, state.meeting
        if state.status is GatewayStatus.CLAIMED and claim is not None and claim.claim == seen:
            if claim.answer:
                return GatewayOutcome(state, claim.answer)
            return GatewayOutcome(state, to_sign=claim.pairing.message)
        if state.status is not GatewayStatus.MEETING or meeting is None:
            raise self._closed(state)
        if meeting.attempt != attempt:
            raise UnknownAttempt("another home is pairing now")
        frame = wire.read_frame(data, 5, 0, sealed=True)
        plain = SharedKey(meeting.root, meeting.transcript).open(b"home", meeting.bound, frame.sealed)
        pairing = self._pairing(wire.read_document(plain, {"identity", "nonce", "deadline", "signature"}), meeting, now)
        claimed = Claim(attempt, seen, b"", meeting.root, meeting.transcript, later(meeting.bound, data), pairing)
        status = move(GATEWAY_TABLE, state.status, GatewayMove.CLAIM_RECEIVED)
        return GatewayOutcome(GatewayState(status, claim=claimed), to_sign=pairing.message)

    def _pairing(self, content: dict[str, object], meeting: Meeting, now: int) -> Pairing:
        owner = wire.identity_from(content["identity"])
        if owner.account == self._identity.account:
            raise MalformedMessage("owner and device are the same account", field="account")
        deadline = wire.integer(content, "deadline")
        if not now < deadline <= now + MAX_DEADLINE:
            raise MalformedMessage(f"the deadline must be within {MAX_DEADLINE} seconds from now", field="deadline")
        hashed = device_hash(meeting.salt, owner.account, self._identity.account)
        nonce = int.from_bytes(wire.raw(content, "nonce", 32, 32), "big")
        message = PairDevice(owner.account, hashed, nonce, deadline)
        signature = wire.raw(content, "signature", 1, 2048)
        if len(signature) == 65:
            # Longer ones are a contract account's, which only the chain can judge; so it does in the end for all.
            try:
                verify(message, self._place.domain(), signature, owner.account)
            except KeysError as error:
                raise ForgedMessage(f"the owner's signature is wrong: {error}") from error
        return Pairing(owner, self._identity, message, meeting.salt, signature)


def _lapses_at(claim: Claim) -> int:
    """Seconds UTC from which a claim cannot be found on the chain any more."""
    return claim.pairing.message.deadline + LAPSE_MARGIN
