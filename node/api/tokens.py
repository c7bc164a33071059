"""Bearer tokens: 256 random bits, shown once, stored as their SHA-256; scopes, an end, and revocation.

A plain hash is enough: there is nothing to guess in 256 random bits, unlike in a password.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Literal, Protocol

from node.clock import Clock
from node.errors import NotFound, Refused, Unauthenticated

__all__ = ["SCOPES", "MemoryTokenStore", "Scope", "TokenRecord", "TokenStore", "Tokens"]

Scope = Literal["read", "consent", "admin", "events:read", "webhooks:manage", "asset:meter"]
SCOPES: Final[tuple[Scope, ...]] = ("read", "consent", "admin")
"""Each of these includes those before it. The other scopes include nothing and are included in `admin` only."""
_PREFIX: Final = "wattpact_"
_SESSION: Final = "wattpact-session_"
"""What begins so is a browser's session: it counts in its cookie only, and nothing else counts there."""


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """What is kept of a token: never the token."""

    id: str
    name: str
    scopes: frozenset[Scope]
    digest: bytes
    created_at: int
    expires_at: int | None = None

    def allows(self, scope: Scope) -> bool:
        """Whether one of the token's scopes is `scope` or includes it."""
        if scope not in SCOPES:
            return scope in self.scopes or "admin" in self.scopes
        return any(own in SCOPES and SCOPES.index(own) >= SCOPES.index(scope) for own in self.scopes)


class TokenStore(Protocol):
    """Where token records live. `remove` raises NotFound for an unknown id."""

    async def add(self, record: TokenRecord) -> None: ...

    async def find(self, digest: bytes) -> TokenRecord | None: ...

    async def records(self) -> tuple[TokenRecord, ...]: ...

    async def remove(self, token_id: str) -> None: ...


class MemoryTokenStore:
    """Tokens of this process; for tests and for nodes that need none beyond the local one."""

    def __init__(self) -> None:
        self._records: dict[bytes, TokenRecord] = {}

    async def add(self, record: TokenRecord) -> None:
        self._records[record.digest] = record

    async def find(self, digest: bytes) -> TokenRecord | None:
        return self._records.get(digest)

    async def records(self) -> tuple[TokenRecord, ...]:
        return tuple(sorted(self._records.values(), key=lambda record: (record.created_at, record.id)))

    async def remove(self, token_id: str) -> None:
        for digest, record in self._records.items():
            if record.id == token_id:
                del self._records[digest]
                return
        raise NotFound(f"There is no token {token_id}.", remedy="`wattpact token list` shows all.")


class Tokens:
    """Issues and checks tokens. The local token lives in this object only and dies with the process."""

    def __init__(self, store: TokenStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._local: TokenRecord | None = None

    def issue_local(self) -> str:
        """A new admin token for commands on this machine; the former one ends."""
        text = _new_token()
        digest = _digest(text)
        self._local = TokenRecord("local", "local commands", frozenset({"admin"}), digest, self._clock.now())
        return text

    async def issue(
        self, name: str, scopes: frozenset[Scope], lifetime_s: int | None = None
    ) -> tuple[TokenRecord, str]:
        """A record and the token's text, which is not kept anywhere."""
        return await self._keep(name, scopes, lifetime_s, _new_token())

    async def open_session(self, name: str, scopes: frozenset[Scope], lifetime_s: int) -> tuple[TokenRecord, str]:
        """A token of the kind that only a cookie carries (`node.api.sessions`)."""
        return await self._keep(name, scopes, lifetime_s, _new_token(_SESSION))

    async def records(self) -> tuple[TokenRecord, ...]:
        return await self._store.records()

    async def revoke(self, token_id: str) -> None:
        """Raises NotFound. The token fails from the next request on."""
        await self._store.remove(token_id)

    async def check(self, authorization: str | None, scope: Scope) -> TokenRecord:
        """The record behind an `Authorization` header. Raises Unauthenticated or Refused."""
        kind, _, text = (authorization or "").partition(" ")
        if kind.lower() != "bearer" or not text:
            raise Unauthenticated("This call needs a bearer token.")
        if text.startswith(_SESSION):
            raise Unauthenticated("A browser's session is no token of a program.")
        return await self._allowed(text.strip(), scope)

    async def check_session(self, text: str, scope: Scope) -> TokenRecord:
        """The record behind a session's cookie. Raises Unauthenticated or Refused."""
        if not text.startswith(_SESSION):
            raise Unauthenticated("This is no session.")
        return await self._allowed(text, scope)

    async def _keep(
        self, name: str, scopes: frozenset[Scope], lifetime_s: int | None, text: str
    ) -> tuple[TokenRecord, str]:
        now = self._clock.now()
        expires_at = None if lifetime_s is None else now + lifetime_s
        record = TokenRecord(secrets.token_hex(6), name, scopes, _digest(text), now, expires_at)
        await self._store.add(record)
        return record, text

    async def _allowed(self, text: str, scope: Scope) -> TokenRecord:
        digest = _digest(text)
        record = self._local if self._local and secrets.compare_digest(self._local.digest, digest) else None
        record = record or await self._store.find(digest)
        if record is None:
            raise Unauthenticated("The token is not known here, or it was revoked.")
        if record.expires_at is not None and self._clock.now() >= record.expires_at:
            raise Unauthenticated("The token has ended.", remedy="`wattpact token create` makes a new one.")
        if not record.allows(scope):
            raise Refused(f"The token lacks the scope {scope}.", remedy=f"Use a token with the scope {scope}.")
        return record


def _new_token(prefix: str = _PREFIX) -> str:
    return prefix + secrets.token_urlsafe(32)


def _digest(text: str) -> bytes:
    return sha256(text.encode("utf-8", "surrogateescape")).digest()
