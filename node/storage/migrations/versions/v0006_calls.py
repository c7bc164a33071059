"""What a transaction does, which never changes, beside what becomes of it, which is written at each of its steps. For
one that may still move it is its document up to here, which has its call; a finished one goes on without."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_BYTES = {"sqlite": "cast(document as blob)", "postgresql": "convert_to(document, 'UTF8')"}


def upgrade() -> None:
    op.create_table(
        "calls",
        sa.Column("chain_id", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("sender", sa.LargeBinary(), primary_key=True),
        sa.Column("key", sa.LargeBinary(), primary_key=True),
        sa.Column("call", sa.LargeBinary(), nullable=False),
    )
    document = _BYTES[op.get_bind().dialect.name]
    op.execute(
        sa.text(
            "insert into calls (chain_id, sender, key, call) "  # noqa: S608
            f"select chain_id, sender, key, {document} from transactions where not finished"
        )
    )
