"""Bringing a database to this program's schema, and refusing one that is newer."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from node.storage.errors import SchemaTooNew

__all__ = ["newest_schema", "schema_of", "upgrade"]

_SCRIPTS = Path(__file__).parent / "migrations"


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def newest_schema() -> str:
    """The schema version that this program writes."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


def schema_of(connection: Connection) -> str | None:
    """The schema version that the database says it has; None for an empty one."""
    return MigrationContext.configure(connection).get_current_revision()


def upgrade(connection: Connection) -> None:
    """Run the missing steps inside the connection's transaction; the caller commits.

    Raises SchemaTooNew, and leaves everything as it was, if the database has a step that this program does not know.
    """
    config = _config()
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    present = schema_of(connection)
    if present is not None and present not in known:
        raise SchemaTooNew(f"The database has schema {present}; this program knows schemas up to {newest_schema()}.")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
