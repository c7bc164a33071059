"""The first schema."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ROWID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _key(name: str, kind: sa.types.TypeEngine[Any]) -> sa.Column[Any]:
    return sa.Column(name, kind, primary_key=True, autoincrement=False)


def _journal() -> None:
    op.create_table(
        "journal",
        _key("seq", _ROWID),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
    )
    op.create_table(
        "journal_targets",
        _key("kind", sa.String(16)),
        _key("key", sa.LargeBinary()),
        _key("seq", sa.BigInteger()),
    )


def _states() -> None:
    op.create_table(
        "states",
        _key("kind", sa.String(16)),
        _key("key", sa.LargeBinary()),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("top_block", sa.BigInteger()),
        sa.Column("unsettled", sa.BigInteger()),
        sa.Column("chain_deadline", sa.BigInteger()),
        sa.Column("created_seq", sa.BigInteger(), nullable=False),
        sa.Column("updated_seq", sa.BigInteger(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
    )
    op.create_index("states_by_status", "states", ["kind", "status", "created_seq"])
    op.create_index("states_by_top_block", "states", ["top_block"])
    op.create_index("states_by_unsettled", "states", ["unsettled"])
    op.create_index("states_by_chain_deadline", "states", ["chain_deadline"])
    op.create_table(
        "state_links",
        _key("name", sa.String(16)),
        _key("value", sa.LargeBinary()),
        _key("kind", sa.String(16)),
        _key("key", sa.LargeBinary()),
    )
    op.create_index("state_links_by_state", "state_links", ["kind", "key"])
    op.create_table(
        "timers",
        _key("kind", sa.String(16)),
        _key("key", sa.LargeBinary()),
        _key("name", sa.String(16)),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
    )
    op.create_index("timers_by_due", "timers", ["due_at"])


def _outbox() -> None:
    op.create_table(
        "outbox",
        _key("seq", sa.BigInteger()),
        _key("position", sa.Integer()),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("lane", sa.String(160), nullable=False),
        sa.Column("effect", sa.Text(), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("leased_until", sa.BigInteger()),
        sa.Column("worker", sa.String(64)),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("done_at", sa.BigInteger()),
    )
    op.create_index("outbox_by_status", "outbox", ["status", "seq", "position"])
    op.create_index("outbox_by_lane", "outbox", ["lane", "status", "seq", "position"])


def _chain() -> None:
    op.create_table(
        "blocks",
        _key("number", _ROWID),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("parent", sa.LargeBinary(), nullable=False),
        sa.Column("timestamp", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "cursors",
        _key("name", sa.String(32)),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "transactions",
        _key("chain_id", sa.BigInteger()),
        _key("sender", sa.LargeBinary()),
        _key("key", sa.LargeBinary()),
        sa.Column("nonce", sa.BigInteger()),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("finished", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
    )
    op.create_index("transactions_unfinished", "transactions", ["chain_id", "sender", "finished", "created_at"])
    op.create_index("transactions_by_nonce", "transactions", ["chain_id", "sender", "nonce"])


def _access() -> None:
    op.create_table(
        "parcels",
        _key("id", sa.LargeBinary()),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
    )
    op.create_index("parcels_by_expiry", "parcels", ["expires_at"])
    op.create_table(
        "tokens",
        _key("id", sa.String(64)),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger()),
        sa.Column("revoked_at", sa.BigInteger()),
        sa.UniqueConstraint("digest", name="tokens_by_digest"),
    )
    op.create_table(
        "facts",
        _key("namespace", sa.String(64)),
        _key("name", sa.String(256)),
        sa.Column("value", sa.Text(), nullable=False),
    )


def upgrade() -> None:
    _journal()
    _states()
    _outbox()
    _chain()
    _access()
