"""The event feed, its subscriptions and its webhooks. Events of before are not in it: it begins with number 1."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_ROWID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _key(name: str, kind: sa.types.TypeEngine[Any]) -> sa.Column[Any]:
    return sa.Column(name, kind, primary_key=True, autoincrement=False)


def upgrade() -> None:
    op.create_table(
        "feed",
        _key("seq", _ROWID),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("aggregate", sa.String(16), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.Column("undoes", sa.BigInteger()),
        sa.Column("block_number", sa.BigInteger()),
        sa.Column("block_hash", sa.LargeBinary()),
        sa.Column("undo_height", sa.BigInteger()),
        sa.Column("document", sa.Text(), nullable=False),
    )
    op.create_index("feed_by_undo_height", "feed", ["undo_height"])
    op.create_table(
        "subscriptions",
        _key("name", sa.String(64)),
        sa.Column("filter", sa.Text(), nullable=False),
        sa.Column("acked", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("acked_at", sa.BigInteger()),
    )
    op.create_table(
        "webhooks",
        _key("id", sa.String(32)),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("filter", sa.Text(), nullable=False),
        sa.Column("acked", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("failing_since", sa.BigInteger()),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("delivered_at", sa.BigInteger()),
    )
