"""Access tokens in the node's database, as the REST interface wants them."""

from __future__ import annotations

from typing import cast, get_args

from node.api.tokens import Scope, TokenRecord
from node.clock import Clock
from node.storage.database import Database
from node.storage.tokens import TokenRow, TokenRows

__all__ = ["StoredTokens"]


class StoredTokens:
    """A `TokenStore` on the tokens table. Revoked rows stay for the record and are never found again.

    Where one process owns the database, what it found is remembered: a look into the database for each request would
    cost more than the request. Where several share it, another one may have revoked the token a moment ago.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._rows = TokenRows(database)
        self._clock = clock
        self._alone = not database.concurrent
        self._found: dict[bytes, TokenRecord] = {}

    async def add(self, record: TokenRecord) -> None:
        scopes = frozenset(str(scope) for scope in record.scopes)
        row = TokenRow(record.id, record.name, scopes, record.digest, record.created_at, record.expires_at)
        await self._rows.add(row)

    async def find(self, digest: bytes) -> TokenRecord | None:
        known = self._found.get(digest)
        if known is not None:
            return known
        before = self._found
        row = await self._rows.find(digest)
        if row is None:
            return None
        record = _record(row)
        if self._alone and before is self._found:  # a revocation while the database answered starts a new memory
            before[digest] = record
        return record

    async def records(self) -> tuple[TokenRecord, ...]:
        return tuple(_record(row) for row in await self._rows.records() if row.revoked_at is None)

    async def remove(self, token_id: str) -> None:
        await self._rows.revoke(token_id, self._clock.now())
        self._found = {}


def _record(row: TokenRow) -> TokenRecord:
    known = get_args(Scope)
    scopes = frozenset(cast(Scope, scope) for scope in row.scopes if scope in known)
    return TokenRecord(row.id, row.name, scopes, row.digest, row.created_at, row.expires_at)
