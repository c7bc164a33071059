"""What readers ask of a writer on the `ask` topic (channels.md 4 rule 8, and 7). Pure.

::

    ver u16 | kind u8 | sid 32 | grant_id 32 | request_id 32 | signed_at u64 | first u64 | last u64
    n_key u16 | X-Wing public key (Resync only) | sig 65

The signature is EIP-712 `Statement` by the reader's address over the hash of everything before it. A request is valid
ten minutes and once; what it may cost the writer is bounded by the limiter below, because a broker can show it to
anybody and readers of one stream are not each other's friends.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from channels.codec import LAST_SEQ, ByteReader, ByteWriter, require
from channels.errors import FormatError, SignatureRejected, UsageError
from channels.kdf import sha256
from keys.errors import KeysError
from keys.messages import Domain, Statement, verify
from keys.sealing import PUBLIC_SIZE

__all__ = ["DAILY_RESYNCS", "VALID_SECONDS", "Ask", "AskKind", "AskLimiter"]

_VERSION = 1
_TOPIC = "ckt1 ask"
_SIGNATURE = 65
VALID_SECONDS = 600
DAILY_RESYNCS = 4
MAX_RANGE = 50_000
"""Records that one request may ask for."""

_PER_MINUTE = 60
_SKEW = 120
_DAY = 86_400


class AskKind(IntEnum):
    """What is asked for, and what `first` and `last` mean."""

    ENVELOPES = 1  # sequence numbers
    COMMITS = 2  # epochs
    HISTORY = 3  # everything from slot `first` on; `last` is 0
    RESYNC = 4  # a capsule for a member that stopped after epoch `first`; `last` is 0
    RECEIPT = 5  # the capsule of epoch `first` was taken; `last` is 0


@dataclass(frozen=True, slots=True)
class Ask:
    """One request. Ids 32 bytes, `signed_at` seconds UTC; `public` the fresh key of a Resync, else empty."""

    kind: AskKind
    sid: bytes
    grant_id: bytes
    request_id: bytes
    signed_at: int
    first: int
    last: int = 0
    public: bytes = b""

    def body(self) -> bytes:
        """What is signed. UsageError for a request that makes no sense."""
        if self.request_id == bytes(32) or max(self.first, self.last) > LAST_SEQ:
            raise UsageError("a request has an id, and numbers that a stream can have")
        if (self.kind is AskKind.RESYNC) != (len(self.public) == PUBLIC_SIZE):
            raise UsageError("a Resync names a fresh public key, and nothing else does")
        if self.kind in (AskKind.ENVELOPES, AskKind.COMMITS):
            if not 0 < self.first <= self.last or self.last - self.first >= MAX_RANGE:
                raise UsageError(f"a range has 1 to {MAX_RANGE} records")
        elif self.last:
            raise UsageError("only ranges have a last record")
        out = ByteWriter().u16(_VERSION).u8(self.kind).raw(self.sid).raw(self.grant_id).raw(self.request_id)
        return out.u64(self.signed_at).u64(self.first).u64(self.last).u16(len(self.public)).raw(self.public).done()

    def statement(self, account: bytes) -> Statement:
        """The typed message that `account` (the reader's address, 20 bytes) signs."""
        return Statement(
            account, _TOPIC, sha256(self.body()), self.request_id, self.signed_at, self.signed_at + VALID_SECONDS
        )

    def encode(self, signature: bytes) -> bytes:
        """The message for the topic."""
        return self.body() + signature

    @classmethod
    def decode(cls, data: bytes) -> tuple[Ask, bytes]:
        """Request and signature, unchecked. FormatError for anything but the canonical encoding."""
        reader = ByteReader(data)
        reader.version(_VERSION)
        kind = reader.u8()
        require(kind in {k.value for k in AskKind}, f"no request of kind {kind}")
        fixed = (reader.raw(32), reader.raw(32), reader.raw(32), reader.u64(), reader.u64(), reader.u64())
        public = reader.raw(reader.u16())
        signature = reader.raw(_SIGNATURE)
        reader.end()
        found = cls(AskKind(kind), *fixed, public)
        try:
            found.body()
        except UsageError as error:
            raise FormatError(str(error)) from error
        return found, signature

    def check(self, domain: Domain, account: bytes, signature: bytes, now: int) -> None:
        """SignatureRejected unless `account` signed it within the last ten minutes."""
        if not self.signed_at - _SKEW <= now <= self.signed_at + VALID_SECONDS:
            raise SignatureRejected("the request is not of the last ten minutes")
        try:
            verify(self.statement(account), domain, signature, account)
        except KeysError as error:
            raise SignatureRejected("the request is not signed by the reader") from error


@dataclass(slots=True)
class AskLimiter:
    """Which requests are answered: each once, at most sixty a minute and four Resyncs a day per grant.

    It lives in memory. What must hold over a restart as well, the Resyncs, the caller notes and tells again by `given`;
    another request of the last ten minutes could be answered a second time then, which costs an answer and tells nobody
    anything new.
    """

    _seen: dict[bytes, int] = field(default_factory=dict)
    _swept: int = 0
    _minute: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    _resyncs: dict[bytes, list[int]] = field(default_factory=dict)

    def given(self, request_id: bytes, grant_id: bytes, at: int) -> None:
        """A Resync that was answered at `at` (seconds UTC), before a restart."""
        self._seen[request_id] = at + VALID_SECONDS + _SKEW  # it was signed no later than that clock allows
        self._resyncs[grant_id] = sorted([*self._resyncs.get(grant_id, []), at])

    def admit(self, ask: Ask, now: int) -> str | None:
        """None, and the request is counted; or why it is not answered. Call it after `Ask.check`."""
        self._sweep(now)
        if ask.request_id in self._seen:
            return "this request was answered before"
        minute, count = self._minute.get(ask.grant_id, (now // 60, 0))
        count = count if minute == now // 60 else 0
        if count >= _PER_MINUTE:
            return "too many requests in this minute"
        if ask.kind is AskKind.RESYNC:
            recent = [at for at in self._resyncs.get(ask.grant_id, []) if at > now - _DAY]
            if len(recent) >= DAILY_RESYNCS:
                return f"{DAILY_RESYNCS} resyncs a day are the limit"
            self._resyncs[ask.grant_id] = [*recent, now]
        self._minute[ask.grant_id] = (now // 60, count + 1)
        self._seen[ask.request_id] = ask.signed_at + VALID_SECONDS + _SKEW
        return None

    def _sweep(self, now: int) -> None:
        """Forget what is over, once a minute, so that the cost per request does not grow with their number."""
        if now // 60 == self._swept:
            return
        self._swept = now // 60
        self._seen = {key: until for key, until in self._seen.items() if until >= now}
        self._minute = {key: value for key, value in self._minute.items() if value[0] >= now // 60}
        self._resyncs = {key: times for key, times in self._resyncs.items() if times[-1] > now - _DAY}
