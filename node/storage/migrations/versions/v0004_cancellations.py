"""Fees of cancelled contracts for statements. The rows are made anew from the states, so none is missing."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("deliveries", sa.Column("fee", sa.String(32)))
    op.add_column("deliveries", sa.Column("fee_by", sa.LargeBinary()))
    op.execute(sa.text("delete from cursors where name = 'deliveries'"))
