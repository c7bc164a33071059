"""Where home and gateway meet when neither has an open port: two topics and a key, all from the QR code's secret.

    to gateway  = HKDF-SHA256(secret, info = label || " to the gateway")   32 bytes, the topic that the gateway reads
    to home     = HKDF-SHA256(secret, info = label || " to the home")      32 bytes, the topic that homes read
    key         = HKDF-SHA256(secret, info = label || " key")
    letter      = nonce 12 | ChaCha20-Poly1305(key, nonce, plain, additional data = label || direction)
    question    = 1 | ask 16 | step u8 | message of the exchange
    answer      = 2 | ask 16 | verdict u8 | message of the exchange, or a problem as JSON

Only the whole secret, 256 bits, leads here. A typed code has 34.7 bits: whoever sees a topic that follows from it, the
broker above all, finds it by trying all of them. So a typed code never names a topic, and the typed form of a secret
cannot be found from the topics, because it follows from the secret as they do, one way (RFC 5869).

Letters are sealed, so a broker, or whoever else hears the topics, learns that somebody meets and when, and nothing
that it makes up or changes gets as far as the exchange. It can repeat letters (the exchange answers the same again) and
keep them back. Answers carry the number of the question, so an old one is none to a new question.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from node.services.pairing import wire
from node.services.pairing.code import SECRET_SIZE
from node.services.pairing.errors import BadCode, MalformedMessage
from node.services.pairing.exchange import Draw

__all__ = ["ASK_SIZE", "Answer", "Question", "Rendezvous"]

ASK_SIZE = 16
_LABEL: Final = b"wattpact pairing rendezvous v1"
_NONCE = 12
_TAG = 16
_TO_GATEWAY, _TO_HOME = b" to the gateway", b" to the home"
_MOST = _NONCE + 1 + ASK_SIZE + 1 + wire.MAX_MESSAGE + _TAG


@dataclass(frozen=True, slots=True)
class Question:
    """A home's message for one step. `ask` is new for every question; a question sent again has the same."""

    ask: bytes
    step: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """The gateway's message, or (`refused`) the problem as JSON."""

    ask: bytes
    refused: bool
    body: bytes


@dataclass(frozen=True, slots=True)
class Rendezvous:
    """One meeting. Kept by the gateway in the place of the secret, which is forgotten once a home has shown it."""

    to_gateway: bytes
    to_home: bytes
    key: bytes = field(repr=False)

    @classmethod
    def of(cls, secret: bytes) -> Rendezvous:
        """Raises BadCode for anything but the whole secret of a QR code."""
        if len(secret) != SECRET_SIZE:
            raise BadCode("only the whole secret of a QR code leads to a meeting point", field="code")
        return cls(_derived(secret, _TO_GATEWAY), _derived(secret, _TO_HOME), _derived(secret, b" key"))

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Rendezvous:
        """The inverse of to_dict. Raises MalformedMessage, KeyError."""
        return cls(*(wire.raw(document, name, 32, 32) for name in ("to_gateway", "to_home", "key")))

    def to_dict(self) -> dict[str, str]:
        """Secret; to be kept sealed."""
        return {name: wire.to_json(getattr(self, name)) for name in ("to_gateway", "to_home", "key")}

    def ask(self, question: Question, draw: Draw) -> bytes:
        """A letter to the gateway."""
        return self._seal(
            _TO_GATEWAY, b"\x01" + question.ask + bytes([wire.STEPS.index(question.step)]) + question.body, draw
        )

    def asked(self, letter: bytes) -> Question:
        """What the gateway reads. Raises MalformedMessage for what no home with this code has sent."""
        ask, step, body = self._open(_TO_GATEWAY, letter, 1)
        if step >= len(wire.STEPS):
            raise MalformedMessage("the letter is of no step of the exchange")
        return Question(ask, wire.STEPS[step], body)

    def answer(self, answer: Answer, draw: Draw) -> bytes:
        """A letter to the homes."""
        return self._seal(_TO_HOME, b"\x02" + answer.ask + bytes([answer.refused]) + answer.body, draw)

    def answered(self, letter: bytes) -> Answer:
        """What a home reads. Raises MalformedMessage for what the gateway with this code has not sent."""
        ask, verdict, body = self._open(_TO_HOME, letter, 2)
        return Answer(ask, bool(verdict), body)

    def _seal(self, direction: bytes, plain: bytes, draw: Draw) -> bytes:
        nonce = draw(_NONCE)
        return nonce + ChaCha20Poly1305(self.key).encrypt(nonce, plain, _LABEL + direction)

    def _open(self, direction: bytes, letter: bytes, kind: int) -> tuple[bytes, int, bytes]:
        if not _NONCE + _TAG < len(letter) <= _MOST:
            raise MalformedMessage("not a letter of this meeting")
        try:
            plain = ChaCha20Poly1305(self.key).decrypt(letter[:_NONCE], letter[_NONCE:], _LABEL + direction)
        except InvalidTag:
            raise MalformedMessage("not a letter of this meeting") from None
        if len(plain) < 2 + ASK_SIZE or plain[0] != kind:
            raise MalformedMessage("not a letter of this meeting")
        return plain[1 : 1 + ASK_SIZE], plain[1 + ASK_SIZE], plain[2 + ASK_SIZE :]


def _derived(secret: bytes, what: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=_LABEL + what).derive(secret)
