"""The gateway's state: frozen values that hold secrets, so they are stored sealed and never shown."""

from __future__ import annotations

from dataclasses import dataclass, field

from node.services.pairing.models import Pairing
from node.services.pairing.table import GatewayStatus

__all__ = ["Claim", "GatewayState", "Meeting", "Session"]


@dataclass(frozen=True, slots=True)
class Session:
    """An exchange that was begun by a peer and not confirmed. `hello` is the hash of its first message."""

    attempt: bytes
    peer: str
    hello: bytes
    answer: bytes
    root: bytes = field(repr=False)
    transcript: bytes = b""


@dataclass(frozen=True, slots=True)
class Meeting:
    """The one home that knew the code. `proof` is the hash of its confirmation, `bound` the transcript so far."""

    attempt: bytes
    proof: bytes
    answer: bytes
    root: bytes = field(repr=False)
    transcript: bytes
    bound: bytes
    salt: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Claim:
    """The pairing as the home signed it; `claim` is the hash of its message, `answer` empty until the device signed."""

    attempt: bytes
    claim: bytes
    answer: bytes
    root: bytes = field(repr=False)
    transcript: bytes
    bound: bytes
    pairing: Pairing


@dataclass(frozen=True, slots=True)
class GatewayState:
    """`failures` counts wrong codes by peer since the code was made; `expires_at` in seconds UTC.

    `paired` holds the device hashes that stand on the chain: one, or more if a lapsed claim landed after all.
    """

    status: GatewayStatus = GatewayStatus.IDLE
    secret: bytes = field(default=b"", repr=False)
    expires_at: int = 0
    failures: tuple[tuple[str, int], ...] = ()
    sessions: tuple[Session, ...] = ()
    meeting: Meeting | None = None
    claim: Claim | None = None
    paired: tuple[bytes, ...] = ()
