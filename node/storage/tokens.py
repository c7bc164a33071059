"""Access tokens, by their hash; the token itself is never here."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import insert, select, update

from node.errors import NotFound
from node.storage.database import Database
from node.storage.schema import tokens

__all__ = ["TokenRow", "TokenRows"]


@dataclass(frozen=True, slots=True)
class TokenRow:
    """`digest` is the SHA-256 of the token; `expires_at` None: it does not end by itself."""

    id: str
    name: str
    scopes: frozenset[str]
    digest: bytes
    created_at: int
    expires_at: int | None = None
    revoked_at: int | None = None


class TokenRows:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, row: TokenRow) -> None:
        values = {name: getattr(row, name) for name in TokenRow.__dataclass_fields__}
        values["scopes"] = " ".join(sorted(row.scopes))
        async with self._database.write() as connection:
            await connection.execute(insert(tokens).values(**values))

    async def find(self, digest: bytes) -> TokenRow | None:
        """The token with this hash unless it was revoked; whether it has ended is the caller's question."""
        query = select(tokens).where(tokens.c.digest == digest, tokens.c.revoked_at.is_(None))
        async with self._database.read() as connection:
            row = (await connection.execute(query)).first()
        return None if row is None else _row(row._mapping)

    async def records(self) -> list[TokenRow]:
        """All, the revoked included, oldest first."""
        async with self._database.read() as connection:
            rows = await connection.execute(select(tokens).order_by(tokens.c.created_at, tokens.c.id))
            return [_row(row._mapping) for row in rows]

    async def revoke(self, token_id: str, now: int) -> None:
        """Raises NotFound for an id that does not exist or was revoked before."""
        live = (tokens.c.id == token_id) & tokens.c.revoked_at.is_(None)
        async with self._database.write() as connection:
            changed = (await connection.execute(update(tokens).where(live).values(revoked_at=now))).rowcount
        if not changed:
            raise NotFound(f"There is no token {token_id}.")


def _row(values: object) -> TokenRow:
    fields = dict(values)  # type: ignore[call-overload]
    return TokenRow(**{**fields, "scopes": frozenset(str(fields["scopes"]).split())})
