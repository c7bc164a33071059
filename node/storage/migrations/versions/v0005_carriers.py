"""The carrier of deliveries for statements. The rows are made anew: contracts on chain from the states, those of a
market that nets day by day, because each day with something settled is marked as not written."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_MARK_DAYS = """
insert into facts (namespace, name, value)
select distinct 'net_unwritten', substr(namespace, 9), '1' from facts
where namespace like 'net\\_due\\_%' escape '\\'
and substr(namespace, 9) not in (select name from facts where namespace = 'net_unwritten')
"""


def upgrade() -> None:
    op.add_column("deliveries", sa.Column("carrier", sa.String(32), nullable=False, server_default="electric"))
    op.execute(sa.text("delete from cursors where name = 'deliveries'"))
    op.execute(sa.text(_MARK_DAYS))
