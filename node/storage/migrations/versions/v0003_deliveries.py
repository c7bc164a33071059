"""Settled deliveries for statements, and the index by which contracts are followed. The rows fill from the states."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    trades = sa.text("kind = 'trade'")
    op.create_index(
        "states_of_trades", "states", ["kind", "updated_seq", "key"], sqlite_where=trades, postgresql_where=trades
    )
    op.create_table(
        "deliveries",
        sa.Column("contract", sa.LargeBinary(), primary_key=True),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("end", sa.BigInteger(), nullable=False),
        sa.Column("seller", sa.LargeBinary(), nullable=False),
        sa.Column("buyer", sa.LargeBinary(), nullable=False),
        sa.Column("contracted", sa.BigInteger(), nullable=False),
        sa.Column("price", sa.String(32), nullable=False),
        sa.Column("delivered", sa.BigInteger(), nullable=False),
        sa.Column("due", sa.String(32), nullable=False),
        sa.Column("by_seller", sa.BigInteger()),
        sa.Column("by_buyer", sa.BigInteger()),
    )
    op.create_index("deliveries_by_start", "deliveries", ["start", "contract"])
