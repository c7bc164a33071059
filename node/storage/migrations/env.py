"""Runs the migrations on the connection that `node.storage.migrate` hands over; there is no alembic.ini."""

from __future__ import annotations

from alembic import context

from node.storage.schema import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
