"""`Idempotency-Key`: a POST sent twice acts once.

The caller makes the key, keeps it, and repeats the call with it until it has an answer. Same key and same call: the
first answer again. Same key and another call: Conflict. First call still running: Conflict, try again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Protocol

from node.clock import Clock
from node.errors import Conflict, InvalidInput

__all__ = ["KEEP_S", "IdempotencyStore", "MemoryIdempotencyStore", "StoredAnswer", "call_fingerprint", "checked_key"]

KEEP_S: Final = 7 * 86_400
_MAX_KEPT: Final = 10_000
_KEY: Final = re.compile(r"[\x21-\x7e]{8,128}")


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An answer as it was sent."""

    status: int
    content_type: str
    body: bytes


class IdempotencyStore(Protocol):
    """`begin` is atomic: of two equal calls at one time exactly one gets None."""

    async def begin(self, key: str, fingerprint: bytes) -> StoredAnswer | None:
        """None: go ahead. An answer: send it. Raises Conflict for a running call or another one under this key."""
        ...

    async def finish(self, key: str, answer: StoredAnswer) -> None: ...

    async def abandon(self, key: str) -> None:
        """The call failed on our side; the same key may try again."""
        ...


def checked_key(key: str) -> str:
    """Raises InvalidInput for keys that are too short to be unique or hold anything but visible ASCII."""
    if not _KEY.fullmatch(key):
        raise InvalidInput("An Idempotency-Key has 8 to 128 visible ASCII characters.", field="Idempotency-Key")
    return key


def call_fingerprint(path: str, body: bytes) -> bytes:
    """SHA-256 over what the call asks for."""
    return sha256(path.encode() + b"\x00" + body).digest()


class MemoryIdempotencyStore:
    """Answers of this process, for seven days, at most ten thousand."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._calls: dict[str, tuple[int, bytes, StoredAnswer | None]] = {}

    async def begin(self, key: str, fingerprint: bytes) -> StoredAnswer | None:
        self._forget()
        known = self._calls.get(key)
        if known is None:
            self._calls[key] = (self._clock.now(), fingerprint, None)
            return None
        _, before, answer = known
        if before != fingerprint:
            raise Conflict("This Idempotency-Key was used for another call.", remedy="Make a new key for a new call.")
        if answer is None:
            raise Conflict("The first call with this Idempotency-Key is still running.", remedy="Repeat it shortly.")
        return answer

    async def finish(self, key: str, answer: StoredAnswer) -> None:
        at, fingerprint, _ = self._calls[key]
        self._calls[key] = (at, fingerprint, answer)

    async def abandon(self, key: str) -> None:
        self._calls.pop(key, None)

    def _forget(self) -> None:
        """Calls are kept in the order of their begin, so the first young one ends the search."""
        oldest = self._clock.now() - KEEP_S
        for key, (at, _, answer) in list(self._calls.items()):
            if at >= oldest and len(self._calls) < _MAX_KEPT:
                break
            if answer is not None:
                del self._calls[key]
